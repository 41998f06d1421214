"""The bound on the tokens of a role's longest request."""

from __future__ import annotations

from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.plan.context import longest_context
from curio_ray.tasks.education.task import EducationTask

CONFIG = Path(__file__).parents[2] / "configs" / "education_pocket.yaml"
ROLES = load_config(CONFIG).roles


@pytest.fixture(scope="module")
def task() -> EducationTask:
    return EducationTask(seed=0)


def test_no_users_prompt_is_longer_than_the_bound_counts(task: EducationTask) -> None:
    said = longest_context("policy", task, ROLES, count=lambda _: 0).tokens
    bound = longest_context("policy", task, ROLES, count=len).tokens
    users = [*task.users("train"), *task.users("held_out")]
    prompts = [sum(len(each.content) for each in task.policy_prompt(user)) for user in users]
    assert bound - said == max(prompts)


def test_the_readers_bound_grows_with_the_longest_opening(task: EducationTask) -> None:
    few = EducationTask(seed=0, train_users=1, held_out_users=1)
    bounds = [longest_context("user_model", each, ROLES, len).tokens for each in (task, few)]
    assert bounds[0] - bounds[1] == _longest_opening(task) - _longest_opening(few) > 0


def _longest_opening(task: EducationTask) -> int:
    return max(
        len(task.opening(user)) for split in ("train", "held_out") for user in task.users(split)
    )
