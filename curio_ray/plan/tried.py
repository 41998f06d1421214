"""Which parts of a run have run on which hardware: no config chooses an untried path in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curio_ray.config.run import RunConfig

_CPU = "CPUs"
_LEARNER_GPU = "an H200, one rank without servers"
_RANKS = "CPUs, two ranks of one machine"
_NODES = "CPUs, two nodes of Ray on one machine"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run in words, and the hardware that it has run on; empty where on none."""

    words: str
    on: str


def tried_parts(config: RunConfig) -> Iterator[Part]:
    """The parts of a config whose hardware matters."""
    servers = config.own_servers.values()
    learner, policy = config.learner, config.policy_server
    if any(not each.gpus for each in servers):
        yield Part("servers on CPUs", _CPU)
    if any(each.gpus for each in servers):
        yield Part("servers on GPUs", "")
    if any(0 < each.gpus < 1 for each in servers):
        yield Part("servers and learner that share a GPU", "")
    if any(each.tensor_parallel > 1 for each in servers):
        yield Part("a model over several processes (tensor_parallel)", "")
    where = "GPUs" if learner.gpus_per_rank else "CPUs"
    yield Part(f"learner on {where}", _LEARNER_GPU if learner.gpus_per_rank else _CPU)
    if learner.ranks > 1:
        yield Part(f"{learner.ranks} ranks on {where}", "" if learner.gpus_per_rank else _RANKS)
    backend = config.weights.backend
    on_cpus = backend in ("shared_memory", "adapters") and not policy.gpus
    yield Part(f"weights.backend: {backend} to servers on {_kind(policy.gpus)}", on_cpus * _CPU)
    if config.cluster.address is not None:
        yield Part("several nodes", _NODES)


def _kind(gpus: float) -> str:
    return "GPUs" if gpus else "CPUs"
