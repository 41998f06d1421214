"""Named reward streams of a dialogue, and the one place where their weights apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from curio_ray.config.rewards import IntrinsicRewardConfig, PenaltiesConfig, RewardsConfig
from curio_ray.dialogue import Dialogue
from curio_ray.errors import RewardError
from curio_ray.rewards.intrinsic import BeliefSequence, IntrinsicReward, intrinsic_rewards
from curio_ray.rewards.penalties import length_penalties, repetition_penalties

TASK = "task"
INTRINSIC = "intrinsic"
LENGTH = "penalty/length"
REPETITION = "penalty/repetition"
TRUNCATION = "penalty/truncation"


def quality_stream(name: str) -> str:
    """The stream of the task's quality term of this name."""
    return f"quality/{name}"


def stream_weights(rewards: RewardsConfig) -> dict[str, float]:
    """The weight of each reward stream, by its name."""
    weights = {TASK: rewards.task.weight, INTRINSIC: rewards.intrinsic.weight}
    weights |= {quality_stream(name): weight for name, weight in rewards.quality.items()}
    if rewards.penalties.length is not None:
        weights[LENGTH] = rewards.penalties.length.weight
    if rewards.penalties.repetition is not None:
        weights[REPETITION] = rewards.penalties.repetition.weight
    if rewards.penalties.truncation is not None:
        weights[TRUNCATION] = rewards.penalties.truncation.weight
    return weights


def assign_task_reward(dialogue: Dialogue, score: float) -> None:
    """Give the sparse task reward to the last policy turn."""
    for turn in dialogue.policy_turns:
        turn.rewards[TASK] = 0.0
    dialogue.policy_turns[-1].rewards[TASK] = score


def assign_intrinsic_reward(
    dialogue: Dialogue, reward: IntrinsicReward, config: IntrinsicRewardConfig, discount: float
) -> None:
    """Give each policy turn what its exchange, or the user's reply alone, taught the user model.

    Raises:
        RewardError: the reward's function failed.
    """
    replies_only = config.attribution == "reply"
    sequence = BeliefSequence(
        dialogue.beliefs(),
        dialogue.true_types(),
        discount,
        dialogue.beliefs_before_replies() if replies_only else None,
        config.final_potential,
    )
    try:
        rewards = intrinsic_rewards(reward, sequence, config.clip)
    except RewardError as error:
        raise RewardError(f"dialogue {dialogue.id}: {error}") from error
    _assign(dialogue, INTRINSIC, rewards)


def assign_quality_rewards(dialogue: Dialogue, name: str, chances: Sequence[float]) -> None:
    """Give each policy turn the chance [policy turns] that it meets a quality term."""
    _assign(dialogue, quality_stream(name), chances)


def assign_penalties(dialogue: Dialogue, penalties: PenaltiesConfig) -> None:
    """Give each policy turn the penalties that the config asks for."""
    turns = dialogue.policy_turns
    if penalties.length is not None:
        lengths = [len(turn.token_ids) for turn in turns]
        _assign(dialogue, LENGTH, length_penalties(lengths, penalties.length.free_tokens))
    if penalties.repetition is not None:
        said = [turn.text for turn in turns]
        _assign(dialogue, REPETITION, repetition_penalties(said, penalties.repetition.n))
    if penalties.truncation is not None:
        _assign(dialogue, TRUNCATION, [-1.0 if turn.truncated else 0.0 for turn in turns])


def weighted_rewards(dialogue: Dialogue, weights: Mapping[str, float]) -> np.ndarray:
    """One reward per policy turn, [policy turns]: the weighted sum of its streams.

    Raises:
        KeyError: a turn holds a stream that has no weight.
    """
    return np.array(
        [sum(weights[name] * value for name, value in turn.rewards.items())
         for turn in dialogue.policy_turns]
    )  # fmt: skip


def _assign(dialogue: Dialogue, stream: str, rewards: Sequence[float] | np.ndarray) -> None:
    for turn, reward in zip(dialogue.policy_turns, rewards, strict=True):
        turn.rewards[stream] = float(reward)
