"""Figures that crossed their thresholds: the lines of alarms.jsonl, and their summaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from curio_ray.run_folder.metrics import read_lines


@dataclass(frozen=True, slots=True)
class Alarm:
    """A figure beyond its threshold in an iteration.

    `threshold_field` is the field of the config that holds the threshold. `value` is None where
    the figure is not finite, which is beyond any threshold.
    """

    iteration: int
    metric: str
    value: float | None
    threshold: float
    threshold_field: str

    @property
    def in_words(self) -> str:
        """As the terminal shows it."""
        value = "not finite" if self.value is None else f"{self.value:.3g}"
        return f"{self.metric} is {value}; {self.threshold_field} is {self.threshold:g}"


class AlarmSummary(BaseModel):
    """The alarms of one figure over a run: in which iterations it was beyond its threshold.

    `furthest` is the value farthest beyond the threshold, or null where it was not finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    first: int
    last: int
    iterations: int
    furthest: float | None
    threshold: float


def read_alarms(path: Path) -> list[Alarm]:
    """All alarms in a file, in order."""
    return [Alarm(**line) for line in read_lines(path)]


def summarise_alarms(alarms: Sequence[Alarm]) -> tuple[AlarmSummary, ...]:
    """One summary per figure, in the order in which they first crossed their thresholds."""
    found: dict[str, list[Alarm]] = {}
    for alarm in alarms:
        found.setdefault(alarm.metric, []).append(alarm)
    return tuple(_summarise(each) for each in found.values())


def _summarise(alarms: Sequence[Alarm]) -> AlarmSummary:
    def distance(alarm: Alarm) -> float:
        return math.inf if alarm.value is None else abs(alarm.value - alarm.threshold)

    furthest = max(alarms, key=distance)
    return AlarmSummary(
        metric=furthest.metric,
        first=alarms[0].iteration,
        last=alarms[-1].iteration,
        iterations=len({each.iteration for each in alarms}),
        furthest=furthest.value,
        threshold=furthest.threshold,
    )
