"""Listening gain of scripted policies, whose value is known."""

from collections.abc import Callable

import numpy as np
import pytest

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.evaluation.listening import find_knowledge, listening_gain, listening_interval
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, STRATEGIES
from curio_ray.tasks.exercise.task import ExerciseTask

Choose = Callable[[dict[str, str], np.random.Generator], list[str]]


@pytest.fixture(scope="module")
def task() -> ExerciseTask:
    return ExerciseTask(seed=0, questions=3)


def dialogue(user: User, asked: list[str]) -> Dialogue:
    """Questions about attributes, answered truly, then a recommendation."""
    turns = []
    for number, attribute in enumerate(asked):
        value = user.at(number).persona[attribute]
        turns.append(Turn("policy", words.question(attribute), [1], [0.0], [0]))
        turns.append(Turn("user", words.answer(attribute, value), [1]))
    turns.append(Turn("policy", "i recommend yoga .", [1], [0.0], [0]))
    return Dialogue(user.id, user, [1], turns)


def scripted(task: ExerciseTask, choose: Choose, users: int = 256, seed: int = 0):
    generator = np.random.default_rng(seed)
    return [
        dialogue(user, choose(user.persona, generator)) for user in task.users("held_out")[:users]
    ]


def gain(task: ExerciseTask, choose: Choose, users: int = 256, seed: int = 0) -> float:
    return listening_gain(find_knowledge(scripted(task, choose, users, seed), task))


def perfect(persona, generator):
    """Asks what tells, by the answer to the first question."""
    follow_ups = ("water", "company") if persona["joints"] == "sore" else ("place", "pace")
    return ["joints", *follow_ups]


def by_the_third(persona, generator):
    """The third question depends on the first answer, and not on the last one."""
    return ["joints", "company", "water" if persona["joints"] == "sore" else "pace"]


def at_random(persona, generator):
    return [str(name) for name in generator.choice(list(ATTRIBUTES), 3, replace=False)]


def test_a_fixed_list_of_questions_gains_nothing(task):
    assert gain(task, lambda persona, generator: ["joints", "water", "place"]) == 0


def test_a_random_list_gains_nothing_on_average_however_few_the_dialogues(task):
    assert abs(np.mean([gain(task, at_random, 16, seed) for seed in range(60)])) < 0.005


def test_the_best_policy_with_three_questions_gains_three_eighths(task):
    assert gain(task, perfect) == pytest.approx(0.375, abs=0.005)


def test_a_question_that_depends_on_an_answer_before_the_last_one_counts(task):
    assert gain(task, by_the_third) == pytest.approx(0.1875, abs=0.005)


def test_the_interval_lies_around_the_gain(task):
    knowledge = find_knowledge(scripted(task, perfect, 64), task)
    low, high = listening_interval(knowledge, seed=0)
    assert 0.3 < low <= listening_gain(knowledge) <= high < 0.45


def test_a_dialogue_that_was_drawn_twice_is_not_compared_with_itself(task):
    knowledge = find_knowledge(scripted(task, perfect, 8), task)
    weights = np.zeros(8)
    weights[3] = 8
    assert np.isnan(listening_gain(knowledge, weights))


def test_users_beyond_the_others_that_are_asked_for_count_too(task, monkeypatch):
    monkeypatch.setattr("curio_ray.evaluation.listening.MOST_OTHERS", 64)
    assert gain(task, perfect) == pytest.approx(0.375, abs=0.01)


def test_one_dialogue_and_a_task_without_a_rule_tell_nothing(task):
    class UnruledTask(ExerciseTask):
        def exact_belief(self, user, questions):
            return None

    dialogues = scripted(task, perfect, 4)
    assert find_knowledge(dialogues[:1], task) is None
    assert find_knowledge(dialogues, UnruledTask(seed=0)) is None


def test_a_user_who_changes_is_known_by_the_answers_of_the_time(task):
    changing = ExerciseTask(seed=0, questions=4, changes="switch", switch_after=(2, 2))
    user = changing.users("held_out")[0]
    later = user.changes[0].persona
    asked = [words.question(name) for name in ("joints", "sleep", "joints")]
    belief = changing.exact_belief(user, asked)
    compatible = [s for s in STRATEGIES if belief[STRATEGIES.index(s)] > 0]
    sore = {"swimming", "aquafit", "walking", "yoga"}
    assert (set(compatible) == sore) == (later["joints"] == "sore")
