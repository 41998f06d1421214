"""Weights through Ray's object store: shared memory on each node, one copy between nodes.

Learner and engines may be on any nodes, with or without GPUs. What vLLM's own processes run is in
`shared_memory_engine.py`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curio_ray.config.run import RunConfig
from curio_ray.weights.sync import (
    Call,
    OnLoss,
    Replicas,
    WeightReceiver,
    WeightStream,
    WeightSync,
    transfer_by,
)

if TYPE_CHECKING:
    from curio_ray.weights.arrays import BucketWriter

VLLM_NAME = "shared_memory"
"""What vLLM calls the backend, which `plugin.py` makes known to it."""

MEMORY_FOLDER = Path("/dev/shm")


class SharedMemorySync(WeightSync):
    """The learner's first rank stores its weights; each replica fetches and loads them by itself.

    Replicas come and go without the others.
    """

    fixed_members = False

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """Tensors for an engine in its server's process, files in memory for another one."""
        return SharedMemoryReceiver(through_files=config.policy_server.engine == "async")

    def connect(self, replicas: Replicas, on_loss: OnLoss | None = None) -> None:
        """Prepare both sides; they need not know of each other."""
        self._on_replicas(replicas, "init_weight_transfer", {}, on_loss=on_loss)
        self._learner.make_weight_senders(SharedMemorySender)

    def push(
        self, replicas: Replicas, version: int, on_loss: OnLoss | None = None
    ) -> dict[str, float]:
        """Store the weights once and let every replica load them in one call."""
        started = time.perf_counter()
        buckets = self._learner.send_weights(version)
        seconds = {"send": time.perf_counter() - started}
        # Ray fetches all buckets to a replica's node before it makes the call, which pauses the
        # engine.
        for phases in self._on_replicas(
            replicas, "load_weights", version, *buckets, on_loss=on_loss
        ):
            for phase, phase_seconds in phases.items():
                seconds[phase] = max(seconds.get(phase, 0.0), phase_seconds)
        return seconds


class SharedMemorySender:
    """Puts each bucket of a version into the object store of its node."""

    adapters_alone = False

    def __init__(self, rank: int) -> None:
        self._writer: BucketWriter | None = None
        if rank == 0:
            from curio_ray.weights.arrays import BucketWriter

            self._writer = BucketWriter()

    def send(self, weights: WeightStream, version: int) -> list[Any]:
        """Store one version; returns references to its `WeightBucket`s.

        The store keeps each until the last holder of the reference has dropped it, or this rank
        has ended.
        """
        if self._writer is None:
            for _ in weights:
                pass
            return []
        import ray

        return [ray.put(bucket) for bucket in self._writer.write(weights)]

    def close(self) -> None:
        """Nothing is held between two versions."""


class SharedMemoryReceiver(WeightReceiver):
    """Hands on each chunk, `{"bucket": WeightBucket}`, as its tensors or as a safetensors file."""

    def __init__(self, through_files: bool) -> None:
        super().__init__(transfer_by(VLLM_NAME))
        self._through_files = through_files
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> list[Call]:
        """Make room for files, and the model ready to receive."""
        if self._through_files:
            self._folder = folder_in_memory()
        return super().start()

    def update(self, info: dict[str, Any]) -> list[Call]:
        """Take one bucket. A file lives until the next bucket, or the end of the update."""
        from curio_ray.weights.arrays import as_tensors

        tensors = as_tensors(info["bucket"])
        if self._folder is None:
            return super().update({"tensors": tensors})
        from safetensors.torch import save_file

        file = Path(self._folder.name, "bucket.safetensors")
        file.unlink(missing_ok=True)
        save_file(tensors, file)
        return super().update({"file": str(file)})

    def finish(self) -> list[Call]:
        """Complete the model."""
        if self._folder is not None:
            self._folder.cleanup()
        return super().finish()


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """A folder for files between processes of one node; it goes with the last reference to it."""
    within = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    return tempfile.TemporaryDirectory(prefix="curio-weights-", dir=within)
