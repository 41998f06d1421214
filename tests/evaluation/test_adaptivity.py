"""Adaptivity of scripted policies, whose dependence on the answer is known."""

import numpy as np
import pytest
from made_dialogues import asked, made

from curio_ray.evaluation.adaptivity import adaptivity, adaptivity_interval, find_follow_ups
from curio_ray.tasks.exercise.task import ExerciseTask

NEXT_TOPICS = ("water", "company", "place", "pace", "sleep", "budget")


@pytest.fixture(scope="module")
def task() -> ExerciseTask:
    return ExerciseTask(seed=0)


def scripted(choose, count=200, seed=0):
    """Dialogues that ask about joints, then what `choose(answer, generator)` says."""
    generator = np.random.default_rng(seed)
    answers = generator.choice(["sore", "fine"], size=count)
    return [asked(["joints", choose(answer, generator)], [answer]) for answer in answers]


def measured(dialogues, task) -> float:
    return adaptivity(find_follow_ups(dialogues, task))


def branch(answer, generator):
    """Draws from other questions after each answer."""
    return generator.choice(NEXT_TOPICS[:2] if answer == "sore" else NEXT_TOPICS[2:4])


def test_a_fixed_list_of_questions_does_not_adapt(task):
    assert measured(scripted(lambda answer, generator: "water"), task) == 0


def test_other_questions_after_each_answer_adapt_fully_even_where_they_are_drawn(task):
    assert measured(scripted(branch), task) == pytest.approx(1)


def test_random_questions_do_not_adapt_on_average_however_few_the_dialogues(task):
    def draw(answer, generator):
        return generator.choice(NEXT_TOPICS[:2])

    values = [measured(scripted(draw, count=24, seed=seed), task) for seed in range(400)]
    assert abs(np.mean(values)) < 0.1


def test_the_measure_is_one_less_morisitas_overlap(task):
    def lean(answer, generator):
        return generator.choice(
            ["water", "place"], p=[0.8, 0.2] if answer == "sore" else [0.4, 0.6]
        )

    overlap = 2 * (0.8 * 0.4 + 0.2 * 0.6) / (0.8**2 + 0.2**2 + 0.4**2 + 0.6**2)
    assert measured(scripted(lean, count=20_000), task) == pytest.approx(1 - overlap, abs=0.02)


def test_an_uneven_share_of_answers_changes_nothing(task):
    def rare(generator):
        return "sore" if generator.random() < 0.1 else "fine"

    generator = np.random.default_rng(0)
    dialogues = []
    for _ in range(2000):
        answer = rare(generator)
        topic = "water" if answer == "sore" else generator.choice(["water", "place"])
        dialogues.append(asked(["joints", topic], [answer]))
    assert measured(dialogues, task) == pytest.approx(1 - 2 * 0.5 / (1 + 0.5), abs=0.03)


def test_the_same_question_at_different_turns_is_not_mixed(task):
    first = [asked(["joints", "water"], [value]) for value in ("sore", "fine") * 20]
    later = [
        asked(["sleep", "joints", "place"], ["good", value])
        for value in ("sore", "sore", "fine") * 20
    ]
    assert measured(first + later, task) == pytest.approx(0)


def test_answers_that_only_one_dialogue_got_cannot_be_compared(task):
    dialogues = [asked(["joints", "water"], ["sore"]), asked(["joints", "place"], ["fine"])]
    assert np.isnan(measured(dialogues, task))


def test_dialogues_without_a_second_question_have_no_follow_ups(task):
    dialogue = made(policy=["your joints ?", "i recommend yoga ."], user=["joints sore ."])
    assert find_follow_ups([dialogue] * 5, task) is None


def test_a_dialogue_drawn_twice_is_not_compared_with_itself(task):
    follow_ups = find_follow_ups(scripted(branch, count=8, seed=2), task)
    same = find_follow_ups(scripted(lambda answer, generator: "water", count=8, seed=2), task)
    weights = np.array([4, 4, 0, 0, 0, 0, 0, 0])
    assert np.isnan(adaptivity(follow_ups, weights))
    assert np.isnan(adaptivity(same, weights))


def test_the_interval_of_a_policy_that_adapts_by_halves_holds_its_value(task):
    def half(answer, generator):
        return branch(answer, generator) if generator.random() < 0.5 else "sleep"

    # chances after the same answer: 0.5² + 2 · 0.25² = 0.375, after different ones: 0.25
    low, high = adaptivity_interval(find_follow_ups(scripted(half), task), seed=0)
    assert low < 1 - 0.25 / 0.375 < high
