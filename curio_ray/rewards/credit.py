"""Credit: from rewards per policy turn to advantages per policy turn.

A turn is one action. Discount and λ are spent once at each turn boundary, never per token, so
the length of an utterance changes neither horizon nor credit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


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


def members_of(groups: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """The dialogues of each group, as indices into `groups`."""
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return members


def rloo_advantages(
    rewards: Sequence[np.ndarray], groups: Sequence[Hashable], discount: float
) -> list[np.ndarray]:
    """Return-to-go of each turn less the mean of the group's other dialogues from that turn on.

    REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740), turn by
    turn. The baseline is made of other dialogues only, so it leaves the policy gradient unbiased.

    Raises:
        ValueError: a group has a single dialogue.
    """
    returns = [returns_to_go(each, discount) for each in rewards]
    members = members_of(groups)
    advantages: list[np.ndarray] = []
    for index, group in enumerate(groups):
        others = [returns[other] for other in members[group] if other != index]
        if not others:
            raise ValueError(f"group {group!r} has one dialogue; leave-one-out needs two or more")
        advantages.append(returns[index] - _baseline(others, len(returns[index])))
    return advantages


def _baseline(others: Sequence[np.ndarray], turns: int) -> np.ndarray:
    """The mean return of other dialogues from each turn on, [turns].

    It is the mean of those that got so far. Beyond the last turn of all of them it stays what it
    was there: an end counted as a return of 0 would praise every turn of whoever talks longest.
    """
    baseline = np.zeros(turns)
    last = max(len(each) for each in others) - 1
    for turn in range(turns):
        at = min(turn, last)
        baseline[turn] = np.mean([each[at] for each in others if len(each) > at])
    return baseline
