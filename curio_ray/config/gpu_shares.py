"""How a run may divide GPUs among its processes."""

from __future__ import annotations

from collections.abc import Mapping

from curio_ray.config.learner import LearnerConfig
from curio_ray.config.servers import ServerConfig


def share_problem(servers: Mapping[str, ServerConfig], learner: LearnerConfig) -> str | None:
    """What no process could compute on, with the field and what to write; None where all can."""
    for name, server in servers.items():
        if server.gpus > 1:
            return (
                f"servers.{name}.gpus: an engine process computes on one GPU, not {server.gpus:g}; "
                "write 1, and how many GPUs hold the model in tensor_parallel"
            )
        if 0 < server.gpus < 1 < server.tensor_parallel:
            return (
                f"servers.{name}.gpus: tensor_parallel {server.tensor_parallel} needs a GPU for "
                f"each process, and parts of {server.gpus:g} may lie on the same one; write 1, or "
                "tensor_parallel: 1"
            )
    if learner.gpus_per_rank > 1:
        return (
            f"learner.gpus_per_rank: a rank computes on one GPU, not {learner.gpus_per_rank:g}; "
            "write 1, and more in learner.ranks"
        )
    return _ranks_on_one_gpu(servers, learner)


def _ranks_on_one_gpu(servers: Mapping[str, ServerConfig], learner: LearnerConfig) -> str | None:
    """NCCL refuses a GPU that two of its ranks share; Ray fills one before it takes the next."""
    if learner.ranks == 1 or not 0 < learner.gpus_per_rank < 1:
        return None
    server = servers.get(learner.placement.beside or "")
    if server is None:
        if learner.gpus_per_rank > 0.5:
            return None
        return (
            f"learner.gpus_per_rank: {learner.ranks} ranks on parts of {learner.gpus_per_rank:g} "
            "would share a GPU, which NCCL refuses; write 1, or learner.ranks: 1"
        )
    # a replica's whole GPU is not the one of which its rank has a part
    together = server.gpus % 1 + learner.gpus_per_rank
    if learner.ranks <= server.replicas and together > 0.5:
        return None
    return (
        f"learner.ranks: some of {learner.ranks} ranks beside {server.replicas} replicas of "
        f"'{learner.placement.beside}' would share a GPU, which NCCL refuses; write at most one "
        "rank for each replica, and parts that are more than half a GPU together"
    )
