"""Dialogues with held-out users, the same ones with the same seeds each time."""

from __future__ import annotations

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue
from curio_ray.errors import RolloutError
from curio_ray.evaluation.measures import belief_by_turn, final_belief, success_rate
from curio_ray.rollout.assignment import RolloutBatch, RolloutOptions
from curio_ray.rollout.batch import Runners, make_assignments
from curio_ray.tasks.base import Task


def hold_out(
    runners: Runners, task: Task, config: RunConfig, users: int, seed: int
) -> RolloutBatch:
    """One dialogue with each of the first `users` held-out users.

    Raises:
        RolloutError: a dialogue could not be held.
    """
    everyone = task.users("held_out")[:users]
    assignments = make_assignments("held_out", everyone, 0, seed)
    batch = runners.collect(assignments, held_out_options(task, config))
    if batch.failures:
        raise RolloutError(
            f"{len(batch.failures)} of {len(everyone)} held-out dialogues could not be held: "
            f"{batch.failures[0].reason}"
        )
    return batch


def held_out_options(task: Task, config: RunConfig) -> RolloutOptions:
    """The rule decides where the task has one; elsewhere the reward model judges."""
    has_rule = task.rule_score(task.users("held_out")[0], []) is not None
    return RolloutOptions(
        temperature=config.evaluation.temperature,
        judged=not has_rule,
        attempts=config.rollout.attempts,
        in_flight=config.rollout.dialogues_in_flight,
        deadline_s=config.rollout.dialogue_deadline_s,
    )


def held_out_metrics(dialogues: list[Dialogue]) -> dict[str, int | float | list[float]]:
    """Success and belief of held-out dialogues, under `held_out/`."""
    return {
        "held_out/users": len(dialogues),
        "held_out/success": success_rate(dialogues),
        "held_out/belief": final_belief(dialogues),
        "held_out/belief_by_turn": belief_by_turn(dialogues),
    }
