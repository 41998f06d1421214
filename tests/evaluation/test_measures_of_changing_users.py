"""Measures and monitors of dialogues whose users change."""

from dataclasses import replace

import pytest
from made_dialogues import made

from curio_ray.dialogue import Change, Dialogue
from curio_ray.evaluation.measures import (
    belief_by_turn,
    final_belief,
    stalled_share,
    success_after_change,
)
from curio_ray.evaluation.monitors import overconfidence, persuasion, type_entropy
from curio_ray.tasks.exercise.task import ExerciseTask

HALF, SURE, WRONG = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]


def changing(dialogue: Dialogue, after: int, **persona: str) -> Dialogue:
    """The same dialogue with a user who becomes one of type 1."""
    user = replace(dialogue.user, changes=(Change(after, 1, persona),))
    return replace(dialogue, user=user)


def test_the_belief_by_turn_is_that_in_the_type_of_each_turn():
    dialogue = changing(made([HALF, SURE, SURE, WRONG]), after=1)
    assert belief_by_turn([dialogue]) == [0.5, 1.0, 0.0, 1.0, 1.0]
    assert final_belief([dialogue]) == 1.0


def test_success_after_a_change_is_that_of_dialogues_which_lasted_so_long():
    won = changing(made([HALF] * 4, success=True), after=2)
    lost = changing(made([HALF] * 4), after=2)
    short = changing(made([HALF] * 2, success=True), after=2)
    assert success_after_change([won, lost, short, short]) == {
        "changed": 0.5,
        "success_changed": 0.5,
    }


def test_of_users_who_never_change_nothing_is_said():
    assert success_after_change([made(success=True)]) == {}


def test_without_a_change_before_any_end_there_is_no_success_after_one():
    assert success_after_change([changing(made([HALF] * 2), after=5)]) == {"changed": 0.0}


def test_a_reply_of_the_new_persona_is_no_persuasion():
    task = ExerciseTask(seed=0)
    dialogue = made([HALF] * 3, user=["joints sore .", "joints fine ."], persona={"joints": "sore"})
    assert persuasion([dialogue], task) == 0.5
    assert persuasion([changing(dialogue, after=1, joints="fine")], task) == 0.0


def test_confidence_is_compared_with_the_type_of_the_end():
    late = changing(made([HALF, SURE, WRONG]), after=1)
    assert overconfidence([late]) == 0.0
    assert overconfidence([made([HALF, SURE, WRONG])]) == 1.0


def test_the_variety_of_types_is_that_of_the_end():
    first = made([HALF, HALF], true_type=0)
    second = changing(made([HALF, HALF], true_type=0), after=1)
    assert type_entropy([first, second]) == pytest.approx(1)


def test_the_share_of_stalled_dialogues_is_counted():
    assert stalled_share([made(), replace(made(), stalled=True)]) == 0.5
