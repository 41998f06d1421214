"""Users of the exercise task who become someone else within the dialogue."""

from __future__ import annotations

from collections import Counter

import pytest

from curio_ray.config.run import TaskConfig
from curio_ray.dialogue import Turn
from curio_ray.errors import ConfigError
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import BACKGROUND, STRATEGIES, ideal_strategy
from curio_ray.tasks.exercise.task import ExerciseTask
from curio_ray.tasks.registry import make_task


@pytest.fixture(scope="module")
def switching() -> ExerciseTask:
    return ExerciseTask(seed=0, questions=8, changes="switch", switch_after=[2, 4])


@pytest.fixture(scope="module")
def contextual() -> ExerciseTask:
    return ExerciseTask(seed=0, questions=8, changes="context")


def test_users_start_as_those_of_the_unchanging_task(switching: ExerciseTask) -> None:
    fixed = ExerciseTask(seed=0)
    for split in ("train", "held_out"):
        for user, same in zip(switching.users(split), fixed.users(split), strict=True):
            assert user.at(0) == same


def test_without_changes_nobody_changes() -> None:
    assert not any(user.changes for user in ExerciseTask(seed=0).users("held_out"))


def test_everybody_becomes_one_of_another_type(switching: ExerciseTask) -> None:
    for user in switching.users("held_out"):
        (change,) = user.changes
        assert change.type_index != user.type_index
        assert STRATEGIES[change.type_index] == ideal_strategy(change.persona)


def test_a_silent_change_leaves_the_background(switching: ExerciseTask) -> None:
    for user in switching.users("held_out"):
        (change,) = user.changes
        assert all(change.persona[name] == user.persona[name] for name in BACKGROUND)
        assert change.announcement == ""


def test_types_after_the_change_are_balanced(switching: ExerciseTask) -> None:
    counts = Counter(user.changes[0].type_index for user in switching.users("held_out"))
    assert set(counts.values()) == {256 // 8}


def test_changes_come_after_every_exchange_of_the_range(switching: ExerciseTask) -> None:
    counts = Counter(user.changes[0].after for user in switching.users("held_out"))
    assert set(counts) == {2, 3, 4}
    assert min(counts.values()) > 50


def test_the_same_seed_changes_users_alike(switching: ExerciseTask) -> None:
    again = ExerciseTask(seed=0, questions=8, changes="switch", train_users=40)
    assert again.users("held_out") == switching.users("held_out")
    assert again.users("train") == switching.users("train")[:40]


def test_the_context_is_stated_in_the_opening_and_where_it_changes(
    contextual: ExerciseTask,
) -> None:
    for user in contextual.users("held_out"):
        (change,) = user.changes
        (stated,) = words.known_facts([contextual.opening(user)]).items()
        (announced,) = words.known_facts([change.announcement]).items()
        context = stated[0]
        assert context == announced[0]
        assert context in words.CONTEXTS
        assert stated[1] == user.persona[context] != announced[1] == change.persona[context]


def test_the_opening_tells_no_context_that_does_not_change(switching: ExerciseTask) -> None:
    assert switching.opening(switching.users("train")[0]) == words.OPENING


def test_score_and_judge_are_about_the_user_they_are_given(switching: ExerciseTask) -> None:
    user = switching.users("train")[0]
    before, after = user.at(0), user.at(user.changes[0].after)
    said = [Turn("policy", words.recommendation(STRATEGIES[after.type_index]), [1], [0.0], [0])]
    assert switching.rule_score(after, said) == 1.0
    assert switching.rule_score(before, said) == 0.0
    assert STRATEGIES[after.type_index] in switching.reward_model_prompt(after).question


@pytest.mark.parametrize("after", [[2, 8], [3, 2]])
def test_a_change_that_leaves_no_question_is_refused_by_name(after: list[int]) -> None:
    options = {"questions": 8, "changes": "switch", "switch_after": after}
    with pytest.raises(ConfigError, match="switch_after: a user cannot change"):
        make_task(TaskConfig(name="exercise", options=options), seed=0)
