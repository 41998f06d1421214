"""What each actor asks of Ray, in logical CPUs and GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from curio_ray.config.run import RunConfig
from curio_ray.config.servers import ServerConfig

# Actors of a run wait for each other most of the time. In a Ray of the run's own they ask for a
# share of a core, so that a laptop's few cores hold a whole run; on a cluster for what they use.
SHARE_ALONE = 0.25
RUNNER_CPUS = 0.1
DRIVER_CPUS = 0.1


@dataclass(frozen=True, slots=True)
class Bundle:
    """`count` actors of one kind, each with so many logical CPUs and GPUs."""

    actor: str
    count: int
    cpus: float
    gpus: float


def cpus_per_thread(config: RunConfig) -> float:
    """Logical CPUs asked for per thread of a server or a learner rank."""
    return SHARE_ALONE if config.cluster.address is None else 1.0


def server_bundle(config: RunConfig, name: str) -> Bundle:
    """What the replicas of a server ask for."""
    server: ServerConfig = config.servers[name]
    return Bundle(
        actor=f"server {name}",
        count=server.replicas,
        cpus=cpus_per_thread(config) * server.threads,
        gpus=server.gpus * server.tensor_parallel,
    )


def learner_bundle(config: RunConfig) -> Bundle:
    """What the learner's ranks ask for."""
    learner = config.learner
    cpus = cpus_per_thread(config) * learner.threads
    return Bundle("learner rank", learner.ranks, cpus, learner.gpus_per_rank)


def runner_bundle(config: RunConfig) -> Bundle:
    """What the dialogue runners ask for."""
    return Bundle("dialogue runner", config.rollout.runners, RUNNER_CPUS, 0.0)


def bundles(config: RunConfig) -> list[Bundle]:
    """All actors of a run."""
    servers = [server_bundle(config, name) for name in config.servers]
    return [*servers, learner_bundle(config), runner_bundle(config)]
