"""The exercise task: its users, its words, its end and its score."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.dialogue import Turn, User
from curio_ray.tasks.exercise.rule import STRATEGIES, ideal_strategy, majority_share
from curio_ray.tasks.exercise.task import ExerciseTask


def say(text: str) -> Turn:
    return Turn("policy", text, [1], [0.0], [0])


def hear(text: str) -> Turn:
    return Turn("user", text, [1])


@pytest.fixture(scope="module")
def task() -> ExerciseTask:
    return ExerciseTask(seed=0)


def test_the_same_seed_draws_the_same_users(task: ExerciseTask) -> None:
    again = ExerciseTask(seed=0)
    assert again.users("train") == task.users("train")
    assert [list(u.persona) for u in again.users("held_out")] == [
        list(u.persona) for u in task.users("held_out")
    ]


def test_another_seed_draws_other_users(task: ExerciseTask) -> None:
    assert ExerciseTask(seed=1).users("train") != task.users("train")


def test_no_persona_occurs_twice_in_or_between_the_splits(task: ExerciseTask) -> None:
    users = [*task.users("train"), *task.users("held_out")]
    assert len({tuple(sorted(user.persona.items())) for user in users}) == 200 + 256


def test_held_out_users_do_not_depend_on_the_number_of_training_users(task: ExerciseTask) -> None:
    assert ExerciseTask(seed=0, train_users=40).users("held_out") == task.users("held_out")


def test_a_users_type_is_the_ideal_strategy_of_the_persona(task: ExerciseTask) -> None:
    for user in task.users("held_out"):
        assert STRATEGIES[user.type_index] == ideal_strategy(user.persona)


def test_held_out_types_are_balanced(task: ExerciseTask) -> None:
    assert majority_share(user.persona for user in task.users("held_out")) == 1 / 8


def test_the_policy_prompt_does_not_tell_the_persona(task: ExerciseTask) -> None:
    first, second = task.users("train")[:2]
    assert task.policy_prompt(first) == task.policy_prompt(second)
    assert task.policy_prompt(first)[-1].content == task.opening(first)


def test_a_recommendation_ends_the_dialogue(task: ExerciseTask) -> None:
    assert task.is_over([say("i recommend yoga .")])
    assert not task.is_over([say("your sleep ?"), hear("sleep good .")])
    assert not task.is_over([])


def test_only_the_ideal_strategy_alone_scores(task: ExerciseTask) -> None:
    user = task.users("train")[STRATEGIES.index("yoga")]
    assert task.rule_score(user, [say("i recommend yoga .")]) == 1.0
    assert task.rule_score(user, [say("i recommend boxing .")]) == 0.0
    assert task.rule_score(user, [say("i recommend yoga . i recommend boxing .")]) == 0.0
    assert task.rule_score(user, [say("your sleep ?")]) == 0.0


def test_the_judge_is_told_the_users_ideal_strategy(task: ExerciseTask) -> None:
    user = task.users("train")[0]
    assert STRATEGIES[user.type_index] in task.reward_model_prompt(user).question


def test_the_judge_reads_the_transcript_as_the_user_model_does(task: ExerciseTask) -> None:
    belief, verdict = task.user_model_prompt(), task.reward_model_prompt(task.users("train")[0])
    assert (belief.instruction, belief.policy_name, belief.user_name) == (
        verdict.instruction,
        verdict.policy_name,
        verdict.user_name,
    )


def test_relevant_questions_are_told_from_background_ones(task: ExerciseTask) -> None:
    assert task.is_relevant("your pace ?") is True
    assert task.is_relevant("your sleep ?") is False


def test_words_that_ask_nothing_are_neither_relevant_nor_irrelevant(task: ExerciseTask) -> None:
    assert task.is_relevant("i recommend yoga .") is None


def test_the_exact_belief_knows_what_the_user_answers_and_nothing_else(task: ExerciseTask) -> None:
    user = task.users("train")[STRATEGIES.index("yoga")]
    belief = task.exact_belief(user, ["your joints ?", "hello .", "your water ?", "your pace ?"])
    assert belief[STRATEGIES.index("yoga")] == belief[STRATEGIES.index("walking")] == 0.5
    assert np.allclose(task.exact_belief(user, []), 1 / 8)


def test_only_a_false_statement_contradicts_the_persona(task: ExerciseTask) -> None:
    user = User("x", 0, {"joints": "sore"})
    assert not task.contradicts_persona(user, "joints sore .")
    assert not task.contradicts_persona(user, "what ?")
    assert task.contradicts_persona(user, "joints fine .")
    assert task.contradicts_persona(user, "joints fine . joints sore .")
