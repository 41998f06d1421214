"""Weights between GPUs: by NCCL broadcast, or by CUDA IPC between processes that share a GPU.

The driver's side; what learner ranks do is in `gpu_senders.py`. vLLM's own engines receive. Needs
GPUs on both sides and has not been run.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from curio_ray.config.run import RunConfig
from curio_ray.weights.gpu_senders import IpcSender, NcclSender, ReplicaControl
from curio_ray.weights.sync import (
    OnLoss,
    Replicas,
    WeightReceiver,
    WeightSender,
    WeightSync,
    transfer_by,
)

VLLM_NCCL = "curio_nccl"
"""What vLLM calls the engine of `nccl`, which `plugin.py` makes known to it."""


class GroupSync(WeightSync):
    """Learner and replicas as one group, which rank 0 leads through every update."""

    fixed_members = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._members: set[str] = set()

    def connect(self, replicas: Replicas, on_loss: OnLoss | None = None) -> None:
        """Form the group. A replica that is lost meanwhile fails it."""
        self._learner.make_weight_senders(self._maker(replicas))
        self._members = set(replicas)

    def push(
        self, replicas: Replicas, version: int, on_loss: OnLoss | None = None
    ) -> dict[str, float]:
        """Send, after a new group was formed where its members are others."""
        if set(replicas) != self._members:
            self.connect(replicas)
        started = time.perf_counter()
        self._learner.send_weights(version)
        return {"send": time.perf_counter() - started}

    @abstractmethod
    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        """Makes the sender of a rank."""


class NcclSync(GroupSync):
    """NCCL broadcast from rank 0 to the workers of all replicas, a bucket at a time."""

    @classmethod
    def problem(cls, config: RunConfig) -> str | None:
        """Both sides need GPUs, and no two members the same."""
        if problem := _missing_gpus(config):
            return problem
        policy, learner = config.policy_server, config.learner
        if policy.gpus == learner.gpus_per_rank == 1:
            return None
        return (
            "weights.backend: nccl takes one process a GPU, and parts of "
            f"{policy.gpus:g} and {learner.gpus_per_rank:g} may lie on the same one; write 1 in "
            f"servers.{config.roles.policy.server}.gpus and learner.gpus_per_rank, or ipc with "
            "learner.placement.beside"
        )

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """vLLM's own, but that it leaves a former group."""
        return WeightReceiver(transfer_by(VLLM_NCCL))

    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        policy = self._config.policy_server
        control = ReplicaControl(replicas, self._config.weights.deadline_s)
        return partial(NcclSender, control, 1 + policy.tensor_parallel * len(replicas))


class IpcSync(GroupSync):
    """CUDA IPC handles of packed buffers, between processes that share GPUs."""

    @classmethod
    def problem(cls, config: RunConfig) -> str | None:
        """Every replica needs a rank on its own GPU."""
        if problem := _missing_gpus(config):
            return problem
        name, policy, learner = config.roles.policy.server, config.policy_server, config.learner
        beside = learner.placement.beside
        if beside != name:
            return (
                "weights.backend: ipc needs a rank on the GPU of every replica; write "
                f"learner.placement.beside: {name}, or weights.backend: nccl"
            )
        if policy.gpus == 1 or learner.gpus_per_rank == 1:
            return (
                "weights.backend: ipc needs ranks and replicas on the same GPUs; write parts that "
                f"add up to 1 in servers.{name}.gpus and learner.gpus_per_rank, such as 0.4 and "
                "0.6, or weights.backend: nccl"
            )
        if learner.ranks < policy.replicas:
            return (
                f"learner.ranks: weights.backend: ipc needs a rank beside each of the "
                f"{policy.replicas} replicas of '{name}'; write {policy.replicas}, or "
                "weights.backend: shared_memory"
            )
        return None

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """vLLM's own; handles hold Python objects, which vLLM passes on to its process only so."""
        return WeightReceiver(transfer_by("ipc"), {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"})

    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        return partial(IpcSender, ReplicaControl(replicas, self._config.weights.deadline_s))


def _missing_gpus(config: RunConfig) -> str | None:
    if config.policy_server.gpus and config.learner.gpus_per_rank:
        return None
    return (
        f"weights.backend: {config.weights.backend} needs GPUs on both sides; set "
        f"servers.{config.roles.policy.server}.gpus and learner.gpus_per_rank, or write "
        "shared_memory"
    )
