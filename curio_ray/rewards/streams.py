"""Named reward streams of a dialogue, and the one place where their weights apply."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.dialogue import Dialogue
from curio_ray.rewards.intrinsic import intrinsic_rewards

TASK = "task"
INTRINSIC = "intrinsic"


def assign_task_reward(dialogue: Dialogue, score: float) -> None:
    """Give the sparse task reward to the last policy turn."""
    for turn in dialogue.policy_turns:
        turn.rewards[TASK] = 0.0
    dialogue.policy_turns[-1].rewards[TASK] = score


def assign_intrinsic_reward(
    dialogue: Dialogue, intrinsic: IntrinsicRewardConfig, discount: float
) -> None:
    """Give each policy turn what its exchange taught the user model."""
    rewards = intrinsic_rewards(
        intrinsic.name,
        dialogue.beliefs(),
        dialogue.user.type_index,
        discount,
        intrinsic.final_potential,
        intrinsic.clip,
    )
    for turn, reward in zip(dialogue.policy_turns, rewards, strict=True):
        turn.rewards[INTRINSIC] = float(reward)


def weighted_rewards(dialogue: Dialogue, weights: Mapping[str, float]) -> np.ndarray:
    """One reward per policy turn, [policy turns]: the weighted sum of its streams.

    Raises:
        KeyError: a turn holds a stream that has no weight.
    """
    return np.array(
        [sum(weights[name] * value for name, value in turn.rewards.items())
         for turn in dialogue.policy_turns]
    )  # fmt: skip
