"""Sends weights on CPU: safetensors files in shared memory, read by servers on this machine."""

from __future__ import annotations

import shutil
from typing import Any

from safetensors.torch import save_file

from curio_ray.errors import PreflightError
from curio_ray.models.weight_transfer.buckets import NamedTensors, buckets
from curio_ray.models.weight_transfer.leftover_weights import weights_folder


class SharedMemorySender:
    """Writes each version into a folder of its own, which appears complete or not at all."""

    def __init__(self, run_id: str, rank: int = 0) -> None:
        self._rank = rank
        self._root = weights_folder(run_id)
        if rank == 0:
            self._clear()

    def send(self, named_tensors: NamedTensors, version: int) -> dict[str, Any]:
        """Write the files of one version; returns `{"files": [...]}`.

        Files of earlier versions are removed: their push has ended, well or not.

        Raises:
            PreflightError: shared memory is too small for the weights.
        """
        if self._rank != 0:
            for _ in named_tensors:
                pass
            return {}
        self._clear()
        unfinished = self._root / f"{version}.unfinished"
        unfinished.mkdir(parents=True)
        names = []
        for number, bucket in enumerate(buckets(named_tensors)):
            self._check_space(sum(tensor.nbytes for tensor in bucket.values()))
            names.append(f"{number:05d}.safetensors")
            save_file(bucket, unfinished / names[-1])
        folder = unfinished.rename(self._root / str(version))
        return {"files": [str(folder / name) for name in names]}

    def close(self) -> None:
        """Remove every file of this run."""
        if self._rank == 0:
            self._clear()

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self._root).free
        if free < needed:
            raise PreflightError(
                f"{self._root.parent}: {free >> 20} MiB are free and the policy's weights need "
                f"{needed >> 20} MiB more; enlarge it (in Docker: --shm-size)"
            )

    def _clear(self) -> None:
        if self._root.exists():
            shutil.rmtree(self._root)
