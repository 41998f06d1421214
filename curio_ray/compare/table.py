"""The figures of a comparison: pure functions of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from curio_ray.compare.runs import FinishedRun

BASELINE = "mtrlhf"
SMOOTHING_ITERATIONS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the table; docs/compare.md explains the figures."""

    reward: str
    seed: int
    success_train: float
    success_held_out: float
    dialogues: int
    dialogues_to_baseline: int | None


@dataclass(frozen=True, slots=True)
class RewardSummary:
    """A reward over its seeds: means, with the lowest and highest seed on held-out users.

    `above_baseline` is in points of a hundred; `dialogues_to_baseline` the median of the seeds
    that got there, of which there are `reached`.
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


def smooth(values: Sequence[float], window: int = SMOOTHING_ITERATIONS) -> np.ndarray:
    """Mean of each value with the up to `window` - 1 values before it; same length."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, float))])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def baseline_level(runs: Sequence[FinishedRun]) -> float | None:
    """Mean over the baseline's seeds of the smoothed training success at the end."""
    finals = [smooth(run.success)[-1] for run in runs if run.reward == BASELINE]
    return float(mean(finals)) if finals else None


def dialogues_to_reach(
    dialogues: Sequence[int], success: Sequence[float] | np.ndarray, level: float
) -> int | None:
    """How many dialogues it took until the success was first at the level, or None."""
    reached = np.flatnonzero(np.asarray(success) >= level)
    return int(dialogues[reached[0]]) if len(reached) else None


def make_table(runs: Sequence[FinishedRun]) -> list[Row]:
    """One row per run, in their order."""
    level = baseline_level(runs)
    return [
        Row(
            reward=run.reward,
            seed=run.seed,
            success_train=run.train["success"],
            success_held_out=run.held_out["success"],
            dialogues=run.dialogues[-1],
            dialogues_to_baseline=None
            if level is None
            else dialogues_to_reach(run.dialogues, smooth(run.success), level),
        )
        for run in runs
    ]


def summarise(rows: Sequence[Row]) -> list[RewardSummary]:
    """One summary per reward, in the order of first appearance."""
    names = list(dict.fromkeys(row.reward for row in rows))
    groups = {name: [row for row in rows if row.reward == name] for name in names}
    held_out = {name: mean(row.success_held_out for row in groups[name]) for name in names}
    summaries = []
    for name, group in groups.items():
        reached = [
            row.dialogues_to_baseline for row in group if row.dialogues_to_baseline is not None
        ]
        summaries.append(
            RewardSummary(
                reward=name,
                seeds=len(group),
                success_train=mean(row.success_train for row in group),
                success_held_out=held_out[name],
                lowest=min(row.success_held_out for row in group),
                highest=max(row.success_held_out for row in group),
                above_baseline=100 * (held_out[name] - held_out[BASELINE])
                if BASELINE in held_out
                else None,
                dialogues_to_baseline=median(reached) if reached else None,
                reached=len(reached),
            )
        )
    return summaries
