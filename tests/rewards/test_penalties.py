"""Penalties against values worked out by hand, and the streams that they and quality terms make."""

import numpy as np
import pytest

from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.advantages import batch_advantages
from curio_ray.rewards.penalties import length_penalties, repetition_penalties
from curio_ray.rewards.streams import (
    assign_penalties,
    assign_quality_rewards,
    stream_weights,
    weighted_rewards,
)


def spoken(*utterances: str, tokens: tuple[int, ...]) -> Dialogue:
    """A dialogue in which the user always says "yes"."""
    turns: list[Turn] = []
    for text, count in zip(utterances, tokens, strict=True):
        turns.append(Turn("policy", text, [1] * count, [0.0] * count, [0] * count))
        turns.append(Turn("user", "yes", [1]))
    return Dialogue("spoken", User("someone", 0, {}), [1], turns[:-1])


def test_only_tokens_beyond_the_free_ones_cost():
    assert length_penalties([3, 10, 17], free_tokens=10).tolist() == [0, 0, -7]


def test_a_question_asked_again_costs_its_whole_turn():
    asked = ["Your sleep?", "your joints ?", "your sleep ?"]
    assert repetition_penalties(asked, n=3).tolist() == [0, 0, -1]


def test_the_penalty_is_the_share_of_n_grams_said_before():
    # bigrams: how-do do-you you-sleep; then how-do do-you you-eat eat-well
    said = ["How do you sleep?", "How do you eat well?"]
    assert repetition_penalties(said, n=2) == pytest.approx([0, -2 / 4])


def test_going_round_in_circles_within_a_turn_costs():
    # bigrams: very-very three times, of which the first is new
    assert repetition_penalties(["very very very very"], n=2) == pytest.approx([-2 / 3])


def test_a_turn_without_words_repeats_nothing():
    assert repetition_penalties(["...", "..."], n=3).tolist() == [0, 0]


def test_what_the_user_said_may_be_said_once_for_free():
    dialogue = spoken("good morning", "yes", tokens=(2, 1))
    rewards = RewardsConfig.model_validate({"penalties": {"repetition": {"weight": 1, "n": 1}}})
    assign_penalties(dialogue, rewards.penalties)
    assert [turn.rewards for turn in dialogue.policy_turns] == [{"penalty/repetition": 0}] * 2


def test_no_penalty_is_no_stream():
    dialogue = spoken("a", "a", tokens=(1, 1))
    assign_penalties(dialogue, RewardsConfig().penalties)
    assert [turn.rewards for turn in dialogue.policy_turns] == [{}, {}]


def test_every_stream_is_added_with_its_own_weight():
    rewards = RewardsConfig.model_validate(
        {
            "quality": {"engaging": 0.5},
            "penalties": {
                "length": {"weight": 0.1, "free_tokens": 2},
                "repetition": {"weight": 2.0, "n": 1},
            },
        }
    )
    dialogue = spoken("one two", "one two three four", tokens=(2, 6))
    assign_quality_rewards(dialogue, "engaging", [0.8, 0.4])
    assign_penalties(dialogue, rewards.penalties)
    # second turn: 0.5 · 0.4 - 0.1 · 4 tokens - 2 · half of the words
    assert weighted_rewards(dialogue, stream_weights(rewards)) == pytest.approx([0.4, -1.2])


def test_a_penalty_reaches_the_advantages():
    rewards = RewardsConfig.model_validate(
        {"penalties": {"length": {"weight": 1.0, "free_tokens": 1}}}
    )
    dialogue = spoken("a", "b", tokens=(1, 3))
    assign_penalties(dialogue, rewards.penalties)
    credit = CreditConfig(gae_lambda=1.0, normalise="none")
    (advantages,) = batch_advantages([dialogue], [np.zeros(2)], rewards, credit).advantages
    assert advantages.tolist() == [-2, -2]
