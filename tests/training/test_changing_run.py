"""A short training with users who change and dialogues that may stall."""

import pytest

from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.task import ExerciseTask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dialogues(changing_run):
    return [each for number in (1, 2) for each in changing_run.dialogues(number)]


def test_every_iteration_tells_how_many_users_changed_and_how_many_dialogues_stalled(changing_run):
    for iteration in (1, 2):
        metrics = changing_run.metrics(iteration)
        assert 0 < metrics["changed"] <= 1
        assert 0 <= metrics["stalled"] < 1


def test_replies_are_those_of_the_persona_at_their_time(dialogues):
    task = ExerciseTask(seed=0)
    denied = [
        task.contradicts_persona(each.user.at(number), reply.text)
        for each in dialogues
        for number, reply in enumerate(each.turns[1::2])
    ]
    assert sum(denied) / len(denied) < 0.02


def test_only_changed_dialogues_hold_two_types(dialogues):
    for each in dialogues:
        assert len(set(each.true_types())) == (2 if each.changed else 1)


def test_a_stalled_dialogue_is_asked_to_conclude_and_ends_with_the_next_turn(dialogues):
    for each in dialogues:
        asked = each.turns[-2].text.endswith(words.CLOSING)
        assert asked is each.stalled
        if each.stalled:
            assert len(each.policy_turns) < 9
    assert any(each.stalled for each in dialogues)


def test_an_evaluation_cuts_nothing_short(changing_run):
    by_turn = changing_run.metrics(0)["held_out/success_by_turn"]
    assert len(by_turn) == 9
