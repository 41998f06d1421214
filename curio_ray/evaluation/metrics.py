"""What evaluation dialogues show: measures with their intervals, and monitors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.config.evaluation import AlarmsConfig
from curio_ray.dialogue import Dialogue
from curio_ray.evaluation.course import Standing, mean_verdict
from curio_ray.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    ratio_statistic,
    wilson_interval,
)
from curio_ray.evaluation.listening import (
    find_knowledge,
    listening_gain,
    listening_interval,
)
from curio_ray.evaluation.measures import (
    belief_by_turn,
    count_questions,
    final_belief,
    label_mass_metrics,
    success_after_change,
    success_by_turn,
    success_by_type,
    success_rate,
    turn_shares,
)
from curio_ray.evaluation.monitors import check_monitors, monitor_values
from curio_ray.rollout.failures import Failure, failure_metrics
from curio_ray.tasks.base import Split, Task


def evaluation_metrics(
    dialogues: Sequence[Dialogue],
    task: Task,
    thresholds: AlarmsConfig,
    seed: int,
    split: Split = "held_out",
    reread: Sequence[Dialogue] | None = None,
    failures: Sequence[Failure] = (),
    judged: bool = False,
    start: Standing | None = None,
) -> dict[str, int | float | list[float]]:
    """What dialogues with a split's users show, under its name. See docs/use/evaluation.md.

    A dialogue that could not be held is no success. All figures but those of success are of the
    dialogues that were held. What the task cannot tell, or what is undefined for these dialogues,
    is left out.

    Args:
        dialogues: at least one.
        task: theirs.
        thresholds: of the monitors.
        seed: of the bootstrap intervals.
        split: the prefix of the figures' names.
        reread: the same dialogues with the beliefs of a second user model.
        failures: those that could not be held, of other users.
        judged: whether the dialogues' task reward is the reward model's verdict.
        start: where the start policy stood; without it nothing is compared with the start.
    """
    users = len(dialogues) + len(failures)
    held = len(dialogues) / users
    metrics: dict[str, int | float | list[float]] = {
        "users": users,
        "success": success_rate(dialogues) * held,
        "success_interval": list(wilson_interval(sum(each.success for each in dialogues), users)),
        "success_by_turn": [share * held for share in success_by_turn(dialogues)],
        **success_by_type(dialogues, [each.user for each in failures], task.user_types),
        "policy_turns": float(np.mean([len(each.policy_turns) for each in dialogues])),
        **({"verdict": mean_verdict(dialogues)} if judged else {}),
        **failure_metrics(failures, len(dialogues), task.user_types),
        **turn_shares(dialogues),
        **label_mass_metrics(dialogues),
        **success_after_change(dialogues),
        **_belief("belief", dialogues, seed),
        **({} if reread is None else _second_reading(reread, seed)),
        **_questions(dialogues, task, seed),
        **_monitors(monitor_values(dialogues, task, judged, start), dialogues, reread, thresholds),
    }
    return {f"{split}/{name}": value for name, value in metrics.items()}


def _second_reading(reread: Sequence[Dialogue], seed: int) -> dict[str, float | list[float]]:
    masses = label_mass_metrics(reread)
    return {
        **_belief("second_belief", reread, seed),
        **{f"{name.partition('/')[0]}/second_user_model": mass for name, mass in masses.items()},
    }


def _belief(name: str, dialogues: Sequence[Dialogue], seed: int) -> dict[str, float | list[float]]:
    beliefs = np.array([final_belief([each]) for each in dialogues])
    mean = ratio_statistic(beliefs, np.ones(len(beliefs)))
    return {
        name: final_belief(dialogues),
        **_interval(name, bootstrap_interval(mean, len(dialogues), seed)),
        f"{name}_by_turn": belief_by_turn(dialogues),
    }


def _questions(
    dialogues: Sequence[Dialogue], task: Task, seed: int
) -> dict[str, float | list[float]]:
    metrics: dict[str, float | list[float]] = {}
    relevant, told = count_questions(dialogues, task)
    if told.any():
        share = ratio_statistic(relevant, told)
        metrics["relevant_questions"] = float(relevant.sum() / told.sum())
        metrics |= _interval("relevant_questions", bootstrap_interval(share, len(told), seed))
    knowledge = find_knowledge(dialogues, task)
    if knowledge is not None:
        metrics["listening_gain"] = listening_gain(knowledge)
        metrics |= _interval("listening_gain", listening_interval(knowledge, seed))
    return metrics


def _monitors(
    values: dict[str, float],
    dialogues: Sequence[Dialogue],
    reread: Sequence[Dialogue] | None,
    thresholds: AlarmsConfig,
) -> dict[str, float]:
    if reread is not None:
        values["belief_gap"] = final_belief(dialogues) - final_belief(reread)
    metrics: dict[str, float] = {}
    for name, monitor in check_monitors(values, thresholds).items():
        metrics[f"monitor/{name}"] = monitor.value
        metrics[f"threshold/{name}"] = monitor.threshold
        metrics[f"alarm/{name}"] = int(monitor.alarm)
    return metrics


def _interval(name: str, interval: Interval | None) -> dict[str, list[float]]:
    return {} if interval is None else {f"{name}_interval": list(interval)}
