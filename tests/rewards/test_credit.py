"""Small identities of the credit functions."""

import numpy as np
import pytest
from paid import paid_for

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.credit import normalise, returns_to_go, rloo_advantages, turn_level_gae
from curio_ray.rewards.streams import assign_task_reward, weighted_rewards


def make_dialogue(utterance_lengths: list[int]) -> Dialogue:
    """A dialogue with policy utterances of the given lengths and two user types."""
    turns = []
    for index, length in enumerate(utterance_lengths):
        turns.append(Turn("policy", "?", [1] * length, [-0.5] * length, [0] * length))
        if index < len(utterance_lengths) - 1:
            belief = np.array([0.5 + 0.1 * (index + 1), 0.5 - 0.1 * (index + 1)])
            turns.append(Turn("user", "!", [2], belief=belief))
    return Dialogue("d", User("u", 0, {}), [0], turns, np.array([0.5, 0.5]))


def test_gae_at_lambda_one_is_return_minus_value():
    rewards, values = np.array([1.0, 0.0, 2.0]), np.array([0.3, 0.2, 0.1])
    advantages, targets = turn_level_gae(rewards, values, discount=0.9, gae_lambda=1.0)
    np.testing.assert_allclose(targets, returns_to_go(rewards, 0.9))
    np.testing.assert_allclose(advantages, targets - values)


def test_gae_at_lambda_zero_is_the_one_step_error():
    rewards, values = np.array([1.0, 2.0]), np.array([0.3, 0.2])
    advantages, _ = turn_level_gae(rewards, values, discount=0.9, gae_lambda=0.0)
    np.testing.assert_allclose(advantages, [1.0 + 0.9 * 0.2 - 0.3, 2.0 - 0.2])


def test_longer_utterances_earn_nothing_more():
    weights = {"task": 1.0, "intrinsic": 1.0}
    totals = []
    for lengths in ([1, 1, 1], [9, 9, 9]):
        dialogue = make_dialogue(lengths)
        assign_task_reward(dialogue, 1.0)
        paid_for(dialogue)
        totals.append(weighted_rewards(dialogue, weights))
    np.testing.assert_array_equal(totals[0], totals[1])


def test_streams_stay_apart_until_weighted():
    dialogue = make_dialogue([2, 2])
    assign_task_reward(dialogue, 1.0)
    paid_for(dialogue)
    rewards = weighted_rewards(dialogue, {"task": 10.0, "intrinsic": 100.0})
    np.testing.assert_allclose(rewards, [10.0, 10.0])


def test_a_turn_nobody_answered_teaches_nothing():
    dialogue = make_dialogue([2, 2])
    assert paid_for(dialogue)[-1] == 0.0


def test_group_advantage_compares_with_the_other_dialogues_only():
    rewards = [np.array([0.0, 1.0]), np.array([0.0]), np.array([2.0])]
    advantages = rloo_advantages(rewards, ["a", "a", "a"], discount=1.0)
    np.testing.assert_allclose(advantages[0], [1.0 - 1.0, 1.0 - 1.0])
    np.testing.assert_allclose(advantages[1], [0.0 - 1.5])


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="leave-one-out"):
        rloo_advantages([np.array([1.0])], ["a"], discount=1.0)


def test_equal_advantages_become_zero():
    for each in normalise([np.array([2.0, 2.0]), np.array([2.0])]):
        np.testing.assert_array_equal(each, np.zeros_like(each))
