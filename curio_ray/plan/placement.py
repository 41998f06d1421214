"""Whether the actors of a run find room on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curio_ray.config.resources import Bundle

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Node:
    """One node, or one that could be added, with what it offers."""

    name: str
    cpus: float
    gpus: float


@dataclass(slots=True)
class _Room:
    cpus: float
    gpus: float
    has_gpus: bool

    def holds(self, bundle: Bundle) -> bool:
        enough_cpus = bundle.cpus <= self.cpus + _ROUNDING
        return enough_cpus and bundle.gpus <= self.gpus + _ROUNDING


def unplaced(wanted: Iterable[Bundle], nodes: Sequence[Node]) -> list[Bundle]:
    """The bundles that find no node, with how many of each.

    Places the largest first, on the fullest node that still holds them; what needs no GPU goes to
    nodes without one while they have room. Each actor is wholly on one node, as with Ray.
    """
    rooms = [_Room(node.cpus, node.gpus, node.gpus > 0) for node in nodes]
    missing = []
    for bundle in sorted(wanted, key=lambda each: (each.gpus, each.cpus), reverse=True):
        left = sum(not _place(bundle, rooms) for _ in range(bundle.count))
        if left:
            missing.append(Bundle(bundle.actor, left, bundle.cpus, bundle.gpus))
    return missing


def _place(bundle: Bundle, rooms: list[_Room]) -> bool:
    fitting = [room for room in rooms if room.holds(bundle)]
    if not fitting:
        return False
    best = min(fitting, key=lambda room: (room.has_gpus and not bundle.gpus, room.gpus, room.cpus))
    best.cpus -= bundle.cpus
    best.gpus -= bundle.gpus
    return True
