"""Credit: from rewards per policy turn to advantages per policy turn.

A turn is one action. Discount and λ are spent once at each turn boundary, never per token, so
the length of an utterance changes neither horizon nor credit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.dialogue import Dialogue
from curio_ray.rewards.streams import stream_weights, weighted_rewards


def turn_level_gae(
    rewards: np.ndarray, values: np.ndarray, discount: float, gae_lambda: float
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation over turns (Schulman et al. 2016, arXiv 1506.02438).

    Args:
        rewards: [turns], the reward of each turn.
        values: [turns], the value of the state each turn acted from. The end has value 0.
        discount: γ, spent at each turn boundary.
        gae_lambda: λ, spent at each turn boundary.

    Returns:
        Advantages [turns] and value targets [turns] (advantages plus values).
    """
    if rewards.shape != values.shape:
        raise ValueError(f"{len(rewards)} rewards but {len(values)} values")
    advantages = np.zeros_like(rewards)
    next_value, next_advantage = 0.0, 0.0
    for turn in reversed(range(len(rewards))):
        error = rewards[turn] + discount * next_value - values[turn]
        next_advantage = error + discount * gae_lambda * next_advantage
        next_value = values[turn]
        advantages[turn] = next_advantage
    return advantages, advantages + values


def returns_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Discounted sum of the rewards from each turn on, [turns]."""
    returns, _ = turn_level_gae(rewards, np.zeros_like(rewards), discount, gae_lambda=1.0)
    return returns


def rloo_advantages(
    rewards: Sequence[np.ndarray], groups: Sequence[Hashable], discount: float
) -> list[np.ndarray]:
    """Return-to-go of each turn less the mean return of the group's other dialogues.

    REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740).
    The baseline is one number per dialogue and made of other dialogues only, so it leaves the
    policy gradient unbiased however long each dialogue is.

    Raises:
        ValueError: a group has a single dialogue.
    """
    all_returns = [returns_to_go(each, discount) for each in rewards]
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    advantages: list[np.ndarray] = []
    for index, group in enumerate(groups):
        others = [other for other in members[group] if other != index]
        if not others:
            raise ValueError(f"group {group!r} has one dialogue; leave-one-out needs two or more")
        baseline = float(np.mean([all_returns[other][0] for other in others]))
        advantages.append(all_returns[index] - baseline)
    return advantages


def normalise(advantages: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Advantages with mean 0 and standard deviation 1 over all turns of the batch.

    Equal advantages stay equal: they become 0 instead of being divided by nothing.
    """
    flat = np.concatenate(list(advantages))
    mean, deviation = float(flat.mean()), float(flat.std())
    scale = 1.0 / deviation if deviation > 1e-8 else 0.0
    return [(each - mean) * scale for each in advantages]


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
    if credit.estimator == "rloo":
        users = [dialogue.user.id for dialogue in dialogues]
        advantages = rloo_advantages(turn_rewards, users, credit.discount)
        targets = [returns_to_go(each, credit.discount) for each in turn_rewards]
    else:
        assert values is not None, "turn_level_gae needs values"
        pairs = [
            turn_level_gae(each, value.astype(np.float64), credit.discount, credit.gae_lambda)
            for each, value in zip(turn_rewards, values, strict=True)
        ]
        advantages, targets = [first for first, _ in pairs], [second for _, second in pairs]
    return (normalise(advantages) if credit.normalise else advantages), targets
