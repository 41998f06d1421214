"""The places of a run's actors on Ray's nodes: asked for together, waited for, and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util import get_current_placement_group
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from curio_ray.config import RunConfig
from curio_ray.errors import DeadlineError, PreflightError
from curio_ray.placement.layout import (
    Bundle,
    Group,
    Layout,
    Place,
    each_place,
    make_layout,
    trial_index,
)
from curio_ray.placement.nodes import Node, advise, list_bundles, unplaced_groups
from curio_ray.private_api.ray_private import AutoscalerReport, read_autoscaler

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
SAY_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Placement groups with a place for every actor of a run.

    Each method gives the options with which an actor is created in its place.
    """

    layout: Layout
    groups: tuple[PlacementGroup, ...]
    in_trial: bool = False

    def server(self, name: str, replica: int) -> dict[str, Any]:
        """Options of a server's replica."""
        return self._options(self.layout.servers[name][replica])

    def rank(self, rank: int) -> dict[str, Any]:
        """Options of a learner rank."""
        return self._options(self.layout.ranks[rank])

    def runner(self, number: int) -> dict[str, Any]:
        """Options of a dialogue runner."""
        return self._options(self.layout.runners[number])

    def release(self) -> None:
        """Give the places back; ends actors that are still there. A trial's are Ray Tune's."""
        if not self.in_trial:
            for group in self.groups:
                remove_placement_group(group)

    def _options(self, place: Place) -> dict[str, Any]:
        if self.in_trial:
            group, index = self.groups[0], trial_index(place)
        else:
            group, index = self.groups[place.group], place.index
        return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, index)}


def reserve(config: RunConfig, say: Callable[[str], None] | None = None) -> Reservation:
    """Reserve a place for every actor of a run, and wait for nodes that may still come.

    Inside a Ray Tune trial the places are those of the trial. `say` is told what is waited for.

    Raises:
        PreflightError: the places cannot be had, now or later; says what would make room.
        DeadlineError: they were not free within `cluster.capacity_deadline_s`.
    """
    layout = make_layout(config)
    trial = get_current_placement_group()
    if trial is not None:
        return Reservation(layout, (trial,), in_trial=True)
    reservation = Reservation(layout, tuple(_ask_for(group) for group in layout.groups))
    try:
        _wait(reservation, config.cluster.capacity_deadline_s, say or logger.warning)
    except BaseException:
        reservation.release()
        raise
    return reservation


def _ask_for(group: Group) -> PlacementGroup:
    places = list(each_place([group]))
    return placement_group(
        [bundle.resources for bundle in places],
        strategy=group.strategy,
        bundle_label_selector=[dict(bundle.labels) for bundle in places],
    )


def _wait(reservation: Reservation, deadline_s: float, say: Callable[[str], None]) -> None:
    started = say_at = time.monotonic()
    asked, layout = reservation.groups, reservation.layout
    while late := [i for i, group in enumerate(asked) if not group.wait(LOOK_EVERY_S)]:
        report, nodes = read_autoscaler(), present_nodes()
        refused = [i for i in late if report.refuses(asked[i].id.hex())]
        must_fit = [layout.groups[i] for i in range(len(asked)) if i in refused or i not in late]
        if refused and (missing := unplaced_groups(must_fit, nodes)):
            raise PreflightError(_explain_impossible(missing, nodes))
        wanted = [bundle for i in late for bundle in layout.groups[i].bundles]
        left_s = started + deadline_s - time.monotonic()
        if left_s < 0:
            raise DeadlineError(_explain_late(wanted, nodes, deadline_s))
        if time.monotonic() >= say_at:
            say_at = time.monotonic() + SAY_EVERY_S
            say(_explain_waiting(wanted, report, left_s))


def present_nodes() -> list[Node]:
    """The nodes of the cluster with all that they have, taken or free."""
    return [
        Node.of(node["NodeName"], node["Resources"], node["Labels"])
        for node in ray.nodes()
        if node["Alive"]
    ]


def _explain_waiting(wanted: Sequence[Bundle], report: AutoscalerReport, left_s: float) -> str:
    coming = ", ".join(f"{count} x {kind}" for kind, count in report.adding.items())
    parts = [
        f"waiting for room for {list_bundles(wanted)}",
        f"nodes on their way: {coming}" if coming else "for other work to end or nodes to come",
        *(f"did not come: {each}" for each in report.failed[-1:]),
        f"at most {left_s:.0f} s more",
    ]
    return "; ".join(parts)


def _explain_impossible(missing: list[Bundle], nodes: Sequence[Node]) -> str:
    advice = "\n    ".join(advise(missing, nodes))
    return (
        f"the cluster has no room for {list_bundles(missing)}, even when nothing else runs there, "
        f"and no node comes that has; add nodes that hold them, or change:\n    {advice}"
    )


def _explain_late(wanted: Sequence[Bundle], nodes: Sequence[Node], deadline_s: float) -> str:
    free = ray.available_resources()
    there = ", ".join(
        f"{free.get(name, 0):g} of {total:g} {name}"
        for name, total in (
            ("CPU", sum(node.cpus for node in nodes)),
            ("GPU", sum(node.gpus for node in nodes)),
        )
    )
    return (
        f"Ray did not find room within {deadline_s:g} s for {list_bundles(wanted)}. "
        f"Free: {there}. Lower threads, replicas, ranks or runners, wait for other work to end, or "
        "raise cluster.capacity_deadline_s"
    )
