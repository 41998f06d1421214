"""Alarms and stops: an iteration's figures against the thresholds of the config."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from curio_ray.config import RunConfig
from curio_ray.config.base import Section
from curio_ray.config.evaluation import AlarmsConfig
from curio_ray.config.gates import ALARM_BELOW
from curio_ray.errors import StoppedByGateError
from curio_ray.evaluation.course import PREFIX
from curio_ray.evaluation.monitors import check_monitors
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.alarms import Alarm

MONITORED_ITERATIONS = 5
"""Over how many iterations a monitor is averaged: one batch of dialogues alone scatters."""


def crossings(
    iteration: int, metrics: Mapping[str, Any], thresholds: Section, field: str
) -> list[Alarm]:
    """The figures that are beyond their threshold; a value equal to it is not.

    Args:
        iteration: whose figures they are.
        metrics: by name. A threshold NAME counts for NAME and for each NAME/....
        thresholds: a section whose fields are numbers, or None for no threshold.
        field: the path of that section in the config.
    """
    found = []
    for name in type(thresholds).model_fields:
        threshold = getattr(thresholds, name)
        if threshold is None:
            continue
        for metric, value in metrics.items():
            if metric.partition("/")[0] != name or not isinstance(value, int | float):
                continue
            inside = value >= threshold if name in ALARM_BELOW else value <= threshold
            if not inside:
                kept = float(value) if math.isfinite(value) else None
                found.append(Alarm(iteration, metric, kept, threshold, f"{field}.{name}"))
    return found


def monitor_alarms(
    iteration: int, latest: Sequence[Mapping[str, Any]], thresholds: AlarmsConfig
) -> list[Alarm]:
    """The monitors of reward hacking whose mean over the latest iterations crosses its threshold.

    A monitor that one of these iterations does not have raises no alarm.
    """
    values = {}
    for metric in latest[-1]:
        kind, _, name = metric.partition("/")
        told = [line[metric] for line in latest if isinstance(line.get(metric), int | float)]
        if kind == "monitor" and len(told) == len(latest):
            values[name] = float(np.mean(told))
    return [
        Alarm(
            iteration,
            f"monitor/{name}",
            monitor.value,
            monitor.threshold,
            f"evaluation.alarms.{name}",
        )
        for name, monitor in check_monitors(values, thresholds).items()
        if monitor.alarm
    ]


def evaluation_alarms(iteration: int, figures: Mapping[str, Any]) -> list[Alarm]:
    """The monitors that crossed their thresholds in an evaluation with held-out users."""
    return [
        Alarm(
            iteration,
            f"{PREFIX}monitor/{name}",
            figures[f"{PREFIX}monitor/{name}"],
            figures[f"{PREFIX}threshold/{name}"],
            f"evaluation.alarms.{name}",
        )
        for key, raised in figures.items()
        if raised and (name := key.removeprefix(f"{PREFIX}alarm/")) != key
    ]


class Gates:
    """Watches a run: says and keeps the alarms of each iteration, and tells when to stop.

    Args:
        config: the run's.
        run: where alarms are kept.
        say: told an alarm when it comes up, and not again while it lasts.
    """

    def __init__(self, config: RunConfig, run: RunFolder, say: Callable[[str], None]) -> None:
        self._training = config.training
        self._monitors = config.evaluation.alarms
        earlier = [line for line in run.metrics() if line["iteration"] > 0]
        self._latest: deque[Mapping[str, Any]] = deque(earlier, MONITORED_ITERATIONS)
        self._run = run
        self._say = say
        self._lasting: set[str] = set()

    def check(self, iteration: int, metrics: Mapping[str, Any]) -> list[Alarm]:
        """Raise the alarms of a finished iteration.

        Returns:
            The figures that end the run.
        """
        alarms = crossings(iteration, metrics, self._training.alarms, "training.alarms")
        stops = crossings(iteration, metrics, self._training.stops, "training.stops")
        without_alarm = {each.metric for each in stops} - {each.metric for each in alarms}
        raised = [*alarms, *(each for each in stops if each.metric in without_alarm)]
        self._latest.append(metrics)
        if len(self._latest) == MONITORED_ITERATIONS:
            raised += monitor_alarms(iteration, self._latest, self._monitors)
        self._run.add_alarms(iteration, raised)
        for alarm in raised:
            if alarm.metric not in self._lasting:
                self._say(f"ALARM at iteration {iteration}: {alarm.in_words}")
        self._lasting = {each.metric for each in raised}
        return stops

    def evaluated(self, iteration: int, figures: Mapping[str, Any]) -> None:
        """Raise the alarms of an evaluation after an iteration."""
        raised = evaluation_alarms(iteration, figures)
        self._run.add_alarms(iteration, raised)
        for alarm in raised:
            self._say(f"ALARM after iteration {iteration}: {alarm.in_words}")


def stopped_by(stops: list[Alarm]) -> StoppedByGateError:
    """The error that ends a run whose figures crossed `training.stops`."""
    (iteration,) = {each.iteration for each in stops}
    fields = " ".join(f"--set {each.threshold_field}=null" for each in stops)
    return StoppedByGateError(
        f"stopped after iteration {iteration}: "
        + "; ".join(each.in_words for each in stops)
        + "\n  the iteration is saved; docs/operate/alarms.md says what is wrong"
        f"\n  to go on all the same, resume the run with {fields}"
    )
