"""Whether the actors of a run find room on the nodes of a cluster, and what would make room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curio_ray.placement.layout import Bundle, Group, each_place

_ROUNDING = 1e-6
_COUNTS = {"learner": "ranks", "rollout": "runners"}


@dataclass(frozen=True, slots=True)
class Node:
    """One node, or one that could be added, with what it offers."""

    name: str
    cpus: float
    gpus: float
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, name: str, resources: Mapping[str, float], labels: Mapping[str, str]) -> Node:
        """A node by its resources as Ray names them."""
        return cls(name, resources.get("CPU", 0.0), resources.get("GPU", 0.0), labels)


@dataclass(slots=True)
class _Room:
    cpus: float
    gpus: float
    has_gpus: bool
    labels: Mapping[str, str]

    def holds(self, bundle: Bundle) -> bool:
        enough_cpus = bundle.cpus <= self.cpus + _ROUNDING
        enough_gpus = bundle.gpus <= self.gpus + _ROUNDING
        return enough_cpus and enough_gpus and _has(self.labels, bundle.labels)

    def take(self, bundle: Bundle) -> None:
        self.cpus -= bundle.cpus
        self.gpus -= bundle.gpus


def unplaced_groups(groups: Sequence[Group], nodes: Sequence[Node]) -> list[Bundle]:
    """The bundles that find no node, with how many of each.

    Places strict groups first, then the largest bundles, each on the fullest node that still holds
    it; what needs no GPU goes to nodes without one while they have room. Each place is wholly on
    one node, as with Ray.
    """
    rooms = [_Room(node.cpus, node.gpus, node.gpus > 0, node.labels) for node in nodes]
    missing: list[Bundle] = []
    for group in groups:
        if group.strategy == "STRICT_PACK":
            missing += _place_on_one(group, rooms)
        elif group.strategy == "STRICT_SPREAD":
            missing += _place_apart(group, rooms)
    anywhere = [
        bundle
        for group in groups
        if not group.strategy.startswith("STRICT")
        for bundle in group.bundles
    ]
    for bundle in sorted(anywhere, key=_size, reverse=True):
        left = sum(_place(bundle, rooms) is None for _ in range(bundle.count))
        if left:
            missing.append(replace(bundle, count=left))
    return missing


def list_bundles(wanted: Iterable[Bundle]) -> str:
    """Bundles in words, as in `2 x learner rank (8 CPU, 1 GPU each)`."""
    return ", ".join(_words(bundle) for bundle in wanted)


def advise(missing: Iterable[Bundle], nodes: Sequence[Node]) -> Iterator[str]:
    """What would make room for each of the missing bundles: a field and why."""
    for bundle in missing:
        if not bundle.section:
            continue
        fitting = [node for node in nodes if _has(node.labels, bundle.labels)]
        most_cpus = max((node.cpus for node in fitting), default=0.0)
        most_gpus = max((node.gpus for node in fitting), default=0.0)
        server = bundle.section.startswith("servers.")
        if bundle.labels and not fitting:
            yield f"{bundle.section}.placement.labels: no node has {_labels(bundle.labels)}"
        elif bundle.gpus > most_gpus + _ROUNDING:
            fields = "gpus or tensor_parallel" if server else "gpus_per_rank"
            yield f"{bundle.section}: the largest node has {most_gpus:g} GPU; lower {fields}"
        elif bundle.cpus > most_cpus + _ROUNDING:
            yield f"{bundle.section}.threads: the largest node has {most_cpus:g} CPU; lower it"
        else:
            count = _COUNTS.get(bundle.section, "replicas")
            less = "" if bundle.section == "rollout" else ", lower cluster.cpus_per_thread"
            yield (
                f"{bundle.section}.{count}: no room for {bundle.count} of them; lower it{less}, "
                f"allow more in {bundle.section}.placement, or start Ray with a larger --num-cpus"
            )


def _place(bundle: Bundle, rooms: Sequence[_Room]) -> _Room | None:
    fitting = [room for room in rooms if room.holds(bundle)]
    if not fitting:
        return None
    best = min(fitting, key=lambda room: (room.has_gpus and not bundle.gpus, room.gpus, room.cpus))
    best.take(bundle)
    return best


def _place_on_one(group: Group, rooms: Sequence[_Room]) -> list[Bundle]:
    places = list(each_place([group]))
    labels = {name: value for bundle in places for name, value in bundle.labels.items()}
    cpus, gpus = sum(each.cpus for each in places), sum(each.gpus for each in places)
    found = _place(Bundle("together", 1, cpus, gpus, labels), rooms)
    return [] if found else list(group.bundles)


def _place_apart(group: Group, rooms: Sequence[_Room]) -> list[Bundle]:
    missing = []
    free = list(rooms)
    for bundle in sorted(group.bundles, key=_size, reverse=True):
        for left in range(bundle.count, 0, -1):
            room = _place(bundle, free)
            if room is None:
                missing.append(replace(bundle, count=left))
                break
            free = [each for each in free if each is not room]
    return missing


def _size(bundle: Bundle) -> tuple[float, float]:
    return bundle.gpus, bundle.cpus


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def _words(bundle: Bundle) -> str:
    labels = f", on {_labels(bundle.labels)}" if bundle.labels else ""
    size = f"{bundle.cpus:g} CPU, {bundle.gpus:g} GPU each"
    return f"{bundle.count} x {bundle.actor} ({size}{labels})"


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())
