"""The learner's view of a dialogue."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.errors import LearnerError
from curio_ray.learner.sequences import (
    TrainingSequence,
    check_finite,
    sequence_from_dialogue,
    with_credit,
)


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue(
        id="d",
        user=User("u", 0, {}),
        prompt_ids=[1, 2, 3],
        turns=[
            Turn("policy", "a", [4, 5], [-0.1, -0.2], [0, 0]),
            Turn("user", "b", [6]),
            Turn("policy", "c", [7], [-0.3], [0]),
        ],
    )


def test_value_positions_are_the_tokens_before_the_policys_turns(dialogue: Dialogue) -> None:
    assert sequence_from_dialogue(dialogue, 0).value_positions.tolist() == [2, 5]


def test_only_the_policys_tokens_are_actions_with_log_probs(dialogue: Dialogue) -> None:
    sequence = sequence_from_dialogue(dialogue, 0)
    assert np.flatnonzero(sequence.action_mask).tolist() == [3, 4, 6]
    expected = np.array([0, 0, 0, -0.1, -0.2, 0, -0.3], np.float32)
    assert np.array_equal(sequence.behaviour_log_probs, expected)


def test_fresh_tokens_are_those_of_the_learners_present_weights(dialogue: Dialogue) -> None:
    dialogue.turns[2].weight_versions = [1]
    assert np.flatnonzero(sequence_from_dialogue(dialogue, 1).fresh).tolist() == [6]
    assert np.flatnonzero(sequence_from_dialogue(dialogue, 0).fresh).tolist() == [3, 4]


def test_credit_gives_a_turns_advantage_to_each_of_its_tokens(dialogue: Dialogue) -> None:
    sequence = sequence_from_dialogue(dialogue, 0)
    credited = with_credit(sequence, np.array([2.0, -1.0]), np.array([0.5, 0.25]))
    assert credited.advantages.tolist() == [0, 0, 0, 2, 2, 0, -1]


def test_a_dialogue_without_a_policy_turn_is_refused() -> None:
    with pytest.raises(LearnerError, match="needs a policy turn"):
        sequence_from_dialogue(Dialogue("d", User("u", 0, {}), [1], []), 0)


def test_value_positions_off_the_turns_are_refused(dialogue: Dialogue) -> None:
    with pytest.raises(LearnerError, match="token before each"):
        replace(sequence_from_dialogue(dialogue, 0), value_positions=np.array([3, 5]))


@pytest.mark.parametrize("field", ["behaviour_log_probs", "advantages", "value_targets"])
def test_a_value_that_is_not_finite_is_refused_by_dialogue_and_field(
    make_sequences: Callable[..., list[TrainingSequence]], field: str
) -> None:
    sequences = make_sequences(3)
    sequences[1] = replace(sequences[1], **{field: getattr(sequences[1], field) * np.nan})
    with pytest.raises(LearnerError, match=f"dialogue 1 of the batch: {field}"):
        check_finite(sequences)
