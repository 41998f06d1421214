"""The figures of a comparison: pure functions of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from curio_ray.compare.runs import BASELINE, FinishedRun

SMOOTHING_ITERATIONS = 5

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the table; docs/use/compare.md explains the figures."""

    reward: str
    seed: int
    success_train: float
    success_held_out: float
    dialogues: int
    dialogues_to_baseline: int | None
    value: Value = None
    listening_gain: float | None = None


@dataclass(frozen=True, slots=True)
class RewardSummary:
    """A reward, with one varied value, over its seeds: means, and the extremes on held-out users.

    `above_baseline` is in points of a hundred; `dialogues_to_baseline` the median of the seeds
    that got there, of which there are `reached`. `listening_gain` is None where the task cannot
    tell it.
    """

    reward: str
    seeds: int
    success_train: float
    success_held_out: float
    lowest: float
    highest: float
    above_baseline: float | None
    dialogues_to_baseline: float | None
    reached: int
    value: Value = None
    listening_gain: float | None = None


def smooth(values: Sequence[float], window: int = SMOOTHING_ITERATIONS) -> np.ndarray:
    """Mean of each value with the up to `window` - 1 values before it; same length."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, float))])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def baseline_level(runs: Sequence[FinishedRun], value: Value = None) -> float | None:
    """Mean over the seeds of the baseline with one value: smoothed training success at the end."""
    finals = [
        smooth(run.success)[-1] for run in runs if run.reward == BASELINE and run.value == value
    ]
    return float(mean(finals)) if finals else None


def dialogues_to_reach(
    dialogues: Sequence[int], success: Sequence[float] | np.ndarray, level: float
) -> int | None:
    """How many dialogues it took until the success was first at the level, or None."""
    reached = np.flatnonzero(np.asarray(success) >= level)
    return int(dialogues[reached[0]]) if len(reached) else None


def make_table(runs: Sequence[FinishedRun]) -> list[Row]:
    """One row per run, in their order; a run is compared with the baseline of its own value."""
    levels = {value: baseline_level(runs, value) for value in {run.value for run in runs}}
    return [
        Row(
            reward=run.reward,
            seed=run.seed,
            success_train=run.train["success"],
            success_held_out=run.held_out["success"],
            dialogues=run.dialogues[-1],
            dialogues_to_baseline=None
            if (level := levels[run.value]) is None
            else dialogues_to_reach(run.dialogues, smooth(run.success), level),
            value=run.value,
            listening_gain=run.held_out.get("listening_gain"),
        )
        for run in runs
    ]


def summarise(rows: Sequence[Row]) -> list[RewardSummary]:
    """One summary per reward and value, in the order of first appearance."""
    groups: dict[tuple[str, Value], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.reward, row.value), []).append(row)
    held_out = {key: mean(row.success_held_out for row in group) for key, group in groups.items()}
    return [_summarise(group, held_out.get((BASELINE, key[1]))) for key, group in groups.items()]


def _summarise(group: Sequence[Row], baseline: float | None) -> RewardSummary:
    held_out = [row.success_held_out for row in group]
    reached = [row.dialogues_to_baseline for row in group if row.dialogues_to_baseline is not None]
    gains = [row.listening_gain for row in group if row.listening_gain is not None]
    return RewardSummary(
        reward=group[0].reward,
        seeds=len(group),
        success_train=mean(row.success_train for row in group),
        success_held_out=mean(held_out),
        lowest=min(held_out),
        highest=max(held_out),
        above_baseline=None if baseline is None else 100 * (mean(held_out) - baseline),
        dialogues_to_baseline=median(reached) if reached else None,
        reached=len(reached),
        value=group[0].value,
        listening_gain=mean(gains) if gains else None,
    )
