"""What each actor asks of Ray, in logical CPUs and GPUs, and how the actors are grouped.

`make_layout` is the one source: `curio plan` shows it, and a run or a Ray Tune trial asks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from curio_ray.config.run import RunConfig
from curio_ray.errors import ConfigError

# Actors of a run wait for each other most of the time. In a Ray of the run's own they ask for a
# share of a core, so that a laptop's few cores hold a whole run; on a cluster the config says.
SHARE_ALONE = 0.25
RUNNER_CPUS = 0.1
DRIVER_CPUS = 0.1


@dataclass(frozen=True, slots=True)
class Bundle:
    """`count` places, each with so many logical CPUs and GPUs on a node with these labels.

    A place is one actor's, or a server replica's and the learner ranks' beside it. `section` is
    where the config speaks of them.
    """

    actor: str
    count: int
    cpus: float
    gpus: float
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    section: str = ""

    @property
    def resources(self) -> dict[str, float]:
        """What one place asks for, as Ray names it."""
        return {name: each for name, each in (("CPU", self.cpus), ("GPU", self.gpus)) if each}


DRIVER = Bundle("driver", 1, DRIVER_CPUS, 0.0)


@dataclass(frozen=True, slots=True)
class Group:
    """Bundles that Ray places together, by a strategy in Ray's words such as STRICT_PACK."""

    strategy: str
    bundles: tuple[Bundle, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one actor: which group, and which of its places in the order of its bundles."""

    group: int
    index: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All groups of a run, and the place of every actor in them."""

    groups: tuple[Group, ...]
    servers: Mapping[str, tuple[Place, ...]]
    ranks: tuple[Place, ...]
    runners: tuple[Place, ...]


def cpus_per_thread(config: RunConfig) -> float:
    """Logical CPUs asked for per thread of a server or a learner rank."""
    cluster = config.cluster
    return SHARE_ALONE if cluster.address is None else cluster.cpus_per_thread


def server_bundle(config: RunConfig, name: str) -> Bundle:
    """What the replicas of a server ask for."""
    server = config.own_servers[name]
    return Bundle(
        actor=f"server {name}",
        count=server.replicas,
        cpus=cpus_per_thread(config) * server.threads,
        gpus=server.gpus * server.tensor_parallel,
        labels=server.placement.labels,
        section=f"servers.{name}",
    )


def learner_bundle(config: RunConfig) -> Bundle:
    """What the learner's ranks ask for."""
    learner = config.learner
    cpus = cpus_per_thread(config) * learner.threads
    labels = learner.placement.labels
    return Bundle("learner rank", learner.ranks, cpus, learner.gpus_per_rank, labels, "learner")


def runner_bundle(config: RunConfig) -> Bundle:
    """What the dialogue runners ask for."""
    rollout = config.rollout
    labels = rollout.placement.labels
    return Bundle("dialogue runner", rollout.runners, RUNNER_CPUS, 0.0, labels, "rollout")


def bundles(config: RunConfig) -> list[Bundle]:
    """All places of a run."""
    return [bundle for group in make_layout(config).groups for bundle in group.bundles]


def make_layout(config: RunConfig) -> Layout:
    """Group the actors: those that name no strategy together and packed, others by kind."""
    kinds = _kinds(config)
    shared = [name for name, kind in kinds.items() if kind.strategy is None]
    own = [[name] for name, kind in kinds.items() if kind.strategy is not None]
    groups: list[Group] = []
    places: dict[str, tuple[Place, ...]] = {}
    for names in [shared, *own] if shared else own:
        index = itertools.count()
        for name in names:
            total = sum(bundle.count for bundle in kinds[name].bundles)
            places[name] = tuple(Place(len(groups), next(index)) for _ in range(total))
        members = tuple(bundle for name in names for bundle in kinds[name].bundles)
        groups.append(Group((kinds[names[0]].strategy or "pack").upper(), members))
    beside = config.learner.placement.beside
    servers = {name: places[f"server {name}"] for name in config.own_servers}
    seats = places["learner"] if beside is None else servers[beside]
    ranks = tuple(seats[rank % len(seats)] for rank in range(config.learner.ranks))
    return Layout(tuple(groups), servers, ranks, places["runners"])


def named_strategies(config: RunConfig) -> list[str]:
    """The fields that name a strategy."""
    placements = {
        f"servers.{name}": server.placement for name, server in config.own_servers.items()
    }
    placements |= {"learner": config.learner.placement, "rollout": config.rollout.placement}
    return [f"{name}.placement.strategy" for name, each in placements.items() if each.strategy]


def each_place(groups: Iterable[Group]) -> Iterator[Bundle]:
    """The bundle of every place, group by group, in the order that `Place.index` counts."""
    for group in groups:
        for bundle in group.bundles:
            yield from [bundle] * bundle.count


@dataclass(frozen=True, slots=True)
class _Kind:
    strategy: str | None
    bundles: tuple[Bundle, ...]


def _kinds(config: RunConfig) -> dict[str, _Kind]:
    """Servers by name, learner and runners, with what each asks for."""
    beside, learner, rollout = config.learner.placement.beside, config.learner, config.rollout
    kinds = {
        f"server {name}": _Kind(
            server.placement.strategy,
            _with_ranks(config, name) if name == beside else (server_bundle(config, name),),
        )
        for name, server in config.own_servers.items()
    }
    if beside is None:
        kinds["learner"] = _Kind(learner.placement.strategy, (learner_bundle(config),))
    kinds["runners"] = _Kind(rollout.placement.strategy, (runner_bundle(config),))
    return kinds


def _with_ranks(config: RunConfig, name: str) -> tuple[Bundle, ...]:
    """A server's replicas, each with the learner ranks beside it."""
    server, rank = server_bundle(config, name), learner_bundle(config)
    each, more = divmod(rank.count, server.count)
    shared = []
    for ranks, count in ((each + 1, more), (each, server.count - more)):
        actor = f"{server.actor} + {ranks} x {rank.actor}" if ranks else server.actor
        cpus, gpus = server.cpus + ranks * rank.cpus, server.gpus + ranks * rank.gpus
        shared.append(Bundle(actor, count, cpus, gpus, server.labels, server.section))
    return tuple(bundle for bundle in shared if bundle.count)


def trial_places(config: RunConfig) -> list[Bundle]:
    """What a trial reserves: a place for its driver, then those of all actors.

    Raises:
        ConfigError: the config names a strategy, for which a trial would need several groups.
    """
    if named := named_strategies(config):
        raise ConfigError(
            f"{named[0]}: each run of a comparison is one packed placement group; write null "
            "(labels and learner.placement.beside hold)"
        )
    return [DRIVER, *each_place(make_layout(config).groups)]


def trial_index(place: Place) -> int:
    """Which of the trial's bundles is an actor's place."""
    return 1 + place.index
