"""Whether Ray can give a run the CPUs and GPUs that it asks for, before its actors are made."""

from __future__ import annotations

import ray
from ray.util import get_current_placement_group
from ray.util.placement_group import placement_group, remove_placement_group

from curio_ray.config import RunConfig
from curio_ray.config.resources import bundles
from curio_ray.errors import DeadlineError


def wait_for_capacity(config: RunConfig) -> None:
    """Wait until every actor of the run would find its place, without keeping the places.

    An actor that Ray cannot place stays pending without a word; this says what is missing. Inside
    a Ray Tune trial the trial's own reservation has been met already.

    Raises:
        DeadlineError: the places are not free within `cluster.capacity_deadline_s`.
    """
    if get_current_placement_group() is not None:
        return
    asked = [
        {"CPU": bundle.cpus, "GPU": bundle.gpus}
        for bundle in bundles(config)
        for _ in range(bundle.count)
    ]
    group = placement_group([{k: v for k, v in each.items() if v} for each in asked])
    try:
        if not group.wait(config.cluster.capacity_deadline_s):
            raise DeadlineError(_explain(config))
    finally:
        remove_placement_group(group)


def _explain(config: RunConfig) -> str:
    asked = ", ".join(
        f"{bundle.count} x {bundle.actor} ({bundle.cpus:g} CPU, {bundle.gpus:g} GPU each)"
        for bundle in bundles(config)
    )
    free, total = ray.available_resources(), ray.cluster_resources()
    there = ", ".join(
        f"{free.get(name, 0):g} of {total.get(name, 0):g} {name}" for name in ("CPU", "GPU")
    )
    return (
        f"Ray did not find room for the run within {config.cluster.capacity_deadline_s:g} s. "
        f"Asked for: {asked}. Free: {there}. Lower threads, replicas, ranks or runners, wait for "
        "other work to end, or raise cluster.capacity_deadline_s"
    )
