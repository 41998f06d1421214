"""The learner's side of a weight transfer: one sender per rank, chosen by `weights.backend`."""

from __future__ import annotations

from typing import Any, Protocol

from curio_ray.errors import ConfigError
from curio_ray.weights.buckets import NamedTensors
from curio_ray.weights.plugin import SHARED_MEMORY


class WeightSender(Protocol):
    """Sends the policy's weights under Hugging Face names.

    Every rank calls `send` with its own stream, since gathering a tensor can be collective; only
    rank 0's tensors travel.
    """

    def send(self, named_tensors: NamedTensors, version: int) -> dict[str, Any]:
        """Consume the stream; returns what the servers need to load it (empty off rank 0)."""

    def close(self) -> None:
        """Release files and connections."""


def make_sender(backend: str, *, rank: int = 0, info: dict[str, Any] | None = None) -> WeightSender:
    """The sender of one learner rank.

    `info` is what `setup_weight_transfer` was given by the driver: empty for shared memory; for
    `nccl` and `ipc` the servers' actor handles under `servers` and `deadline_s`, and for `nccl`
    also `world_size`, the number of the servers' workers and rank 0 together.

    Raises:
        ConfigError: an unknown backend.
    """
    if backend == SHARED_MEMORY:
        from curio_ray.weights.shared_memory_sender import SharedMemorySender

        return SharedMemorySender(rank)
    if backend == "nccl":
        from curio_ray.weights.nccl_sender import NcclSender

        return NcclSender(rank, **(info or {}))
    if backend == "ipc":
        from curio_ray.weights.ipc_sender import IpcSender

        return IpcSender(rank, **(info or {}))
    raise ConfigError(f"weights.backend: '{backend}'; write shared_memory, nccl or ipc")
