"""Advantages of a batch: the estimator that the config names, over all its dialogues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.dialogue import Dialogue
from curio_ray.rewards.credit import group_advantages, normalise, returns_to_go, turn_level_gae
from curio_ray.rewards.streams import stream_weights, weighted_rewards


def batch_advantages(
    dialogues: Sequence[Dialogue],
    values: Sequence[np.ndarray] | None,
    rewards: RewardsConfig,
    credit: CreditConfig,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Advantages and value targets, each one array [policy turns] per dialogue.

    `values` holds, per dialogue, the value of the state before each policy turn; groups need none.
    """
    weights = stream_weights(rewards)
    turn_rewards = [weighted_rewards(dialogue, weights) for dialogue in dialogues]
    if credit.estimator == "group":
        users = [dialogue.user.id for dialogue in dialogues]
        advantages = group_advantages(turn_rewards, users, credit.discount)
        targets = [returns_to_go(each, credit.discount) for each in turn_rewards]
    else:
        assert values is not None, "turn_level_gae needs values"
        pairs = [
            turn_level_gae(each, value.astype(np.float64), credit.discount, credit.gae_lambda)
            for each, value in zip(turn_rewards, values, strict=True)
        ]
        advantages, targets = [first for first, _ in pairs], [second for _, second in pairs]
    return (normalise(advantages) if credit.normalise else advantages), targets
