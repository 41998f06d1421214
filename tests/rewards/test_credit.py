"""Small identities of the credit functions."""

from itertools import product

import numpy as np
import pytest
from paid import paid_for

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.credit import returns_to_go, rloo_advantages, turn_level_gae
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


def test_a_turn_is_compared_with_the_others_from_the_same_turn_on():
    rewards = [np.array([0.5, 0.25, 0.0]), np.array([0.5, 0.25, 0.0]), np.array([0.5, 0.25, 0.0])]
    for each in rloo_advantages(rewards, ["a"] * 3, discount=1.0):
        np.testing.assert_array_equal(each, np.zeros(3))


def test_whoever_talks_longest_is_not_praised_for_the_turns_that_others_did_not_have():
    rewards = [np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])]
    for each in rloo_advantages(rewards, ["a"] * 3, discount=1.0):
        np.testing.assert_array_equal(each, np.zeros_like(each))


def test_a_turn_is_compared_with_those_of_the_others_that_got_so_far():
    rewards = [np.array([0.0, 1.0, 4.0]), np.array([9.0]), np.array([2.0, 3.0])]
    advantages = rloo_advantages(rewards, ["a"] * 3, discount=1.0)
    np.testing.assert_allclose(advantages[0], [5.0 - 7.0, 5.0 - 3.0, 4.0 - 3.0])


def test_the_leave_one_out_gradient_is_the_policy_gradient():
    """By enumeration of three dialogues of a policy that may stop after its first turn."""
    chances, rng = np.array([0.3, 0.7]), np.random.default_rng(0)
    # action 1 goes on to a second turn, of which there are two kinds
    outcomes = [([0], chances[0]), ([1, 0], chances[1] * 0.4), ([1, 1], chances[1] * 0.6)]
    paid = {0: rng.normal(size=3), 1: rng.normal(size=3)}
    scores = [[-chances[1], chances[0]], [-0.6, 0.4]]

    def rewards_of(which: int) -> np.ndarray:
        return np.array([paid[turn][which] for turn in range(len(outcomes[which][0]))])

    def gradient(which: int, credit: np.ndarray) -> np.ndarray:
        actions = outcomes[which][0]
        return np.array([scores[t][actions[t]] * credit[t] if t < len(actions) else 0.0
                         for t in range(2)])  # fmt: skip

    exact = sum(p * gradient(i, returns_to_go(rewards_of(i), 1.0))
                for i, (_, p) in enumerate(outcomes))  # fmt: skip
    estimated = np.zeros(2)
    for three in product(range(3), repeat=3):
        chance = np.prod([outcomes[i][1] for i in three])
        advantages = rloo_advantages([rewards_of(i) for i in three], ["a"] * 3, discount=1.0)
        estimated += chance * gradient(three[0], advantages[0])
    np.testing.assert_allclose(estimated, exact, atol=1e-12)


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="leave-one-out"):
        rloo_advantages([np.array([1.0])], ["a"], discount=1.0)
