"""Weights through Ray's object store: shared memory on each node, one copy between nodes.

Learner and engines may be on any nodes, with or without GPUs. The receiver is in
`shared_memory_receiver.py`, which vLLM alone imports.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from curio_ray.config.run import RunConfig
from curio_ray.weights.sync import NamedTensors, OnLoss, Replicas, WeightReceiver, WeightSync

if TYPE_CHECKING:
    from curio_ray.weights.arrays import BucketWriter

VLLM_NAME = "shared_memory"
"""What vLLM calls the receiver, which `plugin.py` makes known to it."""


class SharedMemorySync(WeightSync):
    """The learner's first rank stores its weights; each replica fetches and loads them by itself.

    Replicas come and go without the others.
    """

    fixed_members = False

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """The receiver of `shared_memory_receiver.py`."""
        return WeightReceiver({"weight_transfer_config": {"backend": VLLM_NAME}})

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

    def __init__(self, rank: int) -> None:
        self._writer: BucketWriter | None = None
        if rank == 0:
            from curio_ray.weights.arrays import BucketWriter

            self._writer = BucketWriter()

    def send(self, named_tensors: NamedTensors, version: int) -> list[Any]:
        """Store one version; returns references to its `WeightBucket`s.

        The store keeps each until the last holder of the reference has dropped it, or this rank
        has ended.
        """
        if self._writer is None:
            for _ in named_tensors:
                pass
            return []
        import ray

        return [ray.put(bucket) for bucket in self._writer.write(named_tensors)]

    def close(self) -> None:
        """Nothing is held between two versions."""
