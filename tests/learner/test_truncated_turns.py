"""Turns that were cut off at `max_tokens`: learned from, read only, or paid less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.config import load_config
from curio_ray.config.learner import LearnerConfig
from curio_ray.config.rewards import RewardsConfig
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.errors import ConfigError
from curio_ray.learner.losses import Counts, Objective
from curio_ray.learner.packing import pack_tensors
from curio_ray.learner.sequences import (
    SequenceScore,
    TrainingSequence,
    log_prob_differences,
    sequence_from_dialogue,
    with_credit,
)
from curio_ray.rewards.streams import assign_penalties, stream_weights

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
CPU = torch.device("cpu")
KINDS: list[dict[str, Any]] = [{"name": "reinforce"}, {"name": "ppo"}, {"name": "gspo"}]


def dialogue_of(*reasons: str) -> Dialogue:
    """A dialogue whose policy turns have three tokens each and end for these reasons."""
    turns: list[Turn] = []
    for reason in reasons:
        turns.append(Turn("policy", "a b", [5, 6, 7], [-0.1] * 3, [0] * 3, finish_reason=reason))
        turns.append(Turn("user", "yes", [8, 9]))
    return Dialogue("d", User("u", 0, {}), [1, 2], turns[:-1])


def credited(dialogue: Dialogue, mask: bool) -> TrainingSequence:
    turns = len(dialogue.policy_turns)
    sequence = sequence_from_dialogue(dialogue, 0, mask)
    return with_credit(sequence, np.ones(turns), np.ones(turns))


def test_a_masked_turn_is_read_like_a_prompt():
    sequence = sequence_from_dialogue(dialogue_of("stop", "length", "stop"), 0, True)
    assert np.flatnonzero(sequence.action_mask).tolist() == [2, 3, 4, 12, 13, 14]
    assert not sequence.behaviour_log_probs[~sequence.action_mask].any()


def test_a_masked_turn_keeps_its_value():
    sequence = sequence_from_dialogue(dialogue_of("stop", "length", "stop"), 0, True)
    assert sequence.value_positions.tolist() == [1, 6, 11]


def test_turns_that_came_to_their_end_are_never_masked():
    dialogue = dialogue_of("stop", "stop")
    masked, plain = (sequence_from_dialogue(dialogue, 0, each) for each in (True, False))
    assert np.array_equal(masked.action_mask, plain.action_mask)


def test_a_masked_turn_is_not_compared_with_the_server():
    sequence = sequence_from_dialogue(dialogue_of("stop", "length"), 0, True)
    zeros = np.zeros(len(sequence), np.float32)
    scored = np.where(sequence.action_mask, np.float32(-0.1), zeros)
    score = SequenceScore(scored, zeros, np.zeros(2, np.float32))
    assert log_prob_differences([sequence], [score])["log_prob_difference_max"] < 1e-6


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["name"])
def test_the_others_gradient_is_what_it_was(kind):
    """But for the number of tokens or turns that the loss is divided by."""
    gradients = []
    for mask in (False, True):
        pack, counts = _packed([credited(dialogue_of("stop", "length"), mask)])
        log_probs = torch.full((len(pack.action_ids),), -0.2, requires_grad=True)
        loss = _loss(kind, pack, log_probs, counts)
        loss.backward()
        gradients.append(log_probs.grad[:3] / log_probs.grad[0])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["name"])
def test_a_batch_of_masked_turns_alone_moves_no_word_and_stays_finite(kind):
    pack, counts = _packed([credited(dialogue_of("length", "length"), True)] * 2)
    log_probs = torch.zeros(0, requires_grad=True)
    loss = _loss(kind, pack, log_probs, counts)
    assert torch.isfinite(loss)


def test_a_penalised_turn_loses_its_weight_in_a_stream_of_its_own():
    rewards = RewardsConfig.model_validate({"penalties": {"truncation": {"weight": 0.5}}})
    dialogue = dialogue_of("stop", "length", "stop")
    assign_penalties(dialogue, rewards.penalties)
    paid = [turn.rewards["penalty/truncation"] for turn in dialogue.policy_turns]
    assert paid == [0, -1, 0]
    assert stream_weights(rewards)["penalty/truncation"] == 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("rollout.truncated=penalise", "rollout.truncated: penalise needs to know"),
        ("rewards.penalties.truncation.weight=0.5", "rewards.penalties.truncation: no turn loses"),
    ],
)
def test_a_penalty_without_its_weight_and_a_weight_without_its_penalty_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        load_config(POCKET, (change,))


def _packed(sequences: list[TrainingSequence]) -> tuple[Any, Counts]:
    return pack_tensors(sequences, CPU), Counts.of(sequences)


def _loss(kind: dict, pack: Any, log_probs: torch.Tensor, counts: Counts) -> torch.Tensor:
    objective = Objective(LearnerConfig(loss=kind, kl_coefficient=0.0))
    return objective(pack, log_probs, torch.zeros(len(pack.value_rows)), counts, 0.0)[0]
