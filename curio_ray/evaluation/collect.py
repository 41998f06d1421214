"""Evaluation dialogues: the same users of a split, with the same seeds, each time."""

from __future__ import annotations

import logging

from curio_ray.config import RunConfig
from curio_ray.errors import RolloutError
from curio_ray.rollout.assignment import RolloutOptions
from curio_ray.rollout.batches import Runners, make_assignments
from curio_ray.rollout.failures import describe
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.tasks.base import Split, Task

logger = logging.getLogger(__name__)


def collect_evaluation(
    runners: Runners,
    task: Task,
    config: RunConfig,
    users: int,
    seed: int,
    split: Split = "held_out",
    judged: bool = False,
) -> RolloutBatch:
    """One dialogue with each of the first `users` users of a split, by default the held-out ones.

    Dialogues that could not be held are among the failures: they count as no success. With
    `judged` the task reward is the reward model's verdict also where the task has a rule.

    Raises:
        RolloutError: none could be held.
    """
    everyone = task.users(split)[:users]
    assignments = make_assignments(split, everyone, 0, seed)
    batch = runners.collect(assignments, evaluation_options(task, config, judged))
    kind = split.replace("_", "-")
    if not batch.dialogues:
        raise RolloutError(
            f"none of {len(everyone)} {kind} dialogues could be held: "
            f"{describe(batch.failures, task.user_types)}"
        )
    if batch.failures:
        logger.warning(
            "%d of %d %s dialogues count as no success, since they could not be held: %s",
            len(batch.failures), len(everyone), kind, describe(batch.failures, task.user_types),
        )  # fmt: skip
    return batch


def evaluation_options(task: Task, config: RunConfig, judged: bool = False) -> RolloutOptions:
    """The reward model judges where it does in training; a task's rule decides on the success."""
    has_rule = task.rule_score(task.users("held_out")[0], []) is not None
    return RolloutOptions(
        temperature=config.evaluation.temperature,
        judged=judged or is_judged(config) or not has_rule,
        attempts=config.rollout.attempts,
        in_flight=config.rollout.dialogues_in_flight,
        deadline_s=config.rollout.dialogue_deadline_s,
    )


def is_judged(config: RunConfig) -> bool:
    """Whether the task reward of a run's dialogues is the reward model's verdict."""
    return config.rewards.task.source == "reward_model"
