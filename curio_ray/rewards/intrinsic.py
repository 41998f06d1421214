"""Intrinsic rewards: what each exchange taught the user model, one value per policy turn.

Source: the reward table of CURIO, arXiv 2504.03206.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curio_ray.rewards import potentials

Potential = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class IntrinsicForm:
    """A potential and the way it becomes a reward.

    `difference` pays the discounted change of the potential (potential-based shaping), `direct`
    pays the potential itself after every exchange.
    """

    potential: Potential
    shaping: Literal["difference", "direct"]


FORMS: dict[str, IntrinsicForm] = {
    "acc": IntrinsicForm(potentials.accuracy, "direct"),
    "log_acc": IntrinsicForm(potentials.log_accuracy, "direct"),
    "ent": IntrinsicForm(potentials.negative_entropy, "direct"),
    "diff_acc": IntrinsicForm(potentials.accuracy, "difference"),
    "diff_log_acc": IntrinsicForm(potentials.log_accuracy, "difference"),
    "diff_ent": IntrinsicForm(potentials.negative_entropy, "difference"),
}


def intrinsic_rewards(
    name: str, beliefs: np.ndarray, true_type: int, discount: float
) -> np.ndarray:
    """Intrinsic rewards [turns] from beliefs [turns + 1, user types].

    `mtrlhf` is the baseline without an intrinsic reward: zeros.

    Raises:
        ValueError: the name is unknown or a belief is not a distribution.
    """
    _check_beliefs(beliefs)
    if name == "mtrlhf":
        return np.zeros(len(beliefs) - 1)
    if name == "info_gain":
        return information_gain(beliefs)
    if name not in FORMS:
        raise ValueError(f"unknown intrinsic reward '{name}'")
    form = FORMS[name]
    return shape(form.potential(beliefs, true_type), form.shaping, discount)


def shape(
    potential: np.ndarray, shaping: Literal["difference", "direct"], discount: float
) -> np.ndarray:
    """Rewards [turns] from a potential [turns + 1]; a difference is γ Φ(t+1) - Φ(t)."""
    if shaping == "direct":
        return potential[1:].copy()
    return discount * potential[1:] - potential[:-1]


def information_gain(beliefs: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in nats of each belief from the one before, [turns]."""
    before = np.maximum(beliefs[:-1], potentials.SMALLEST_PROBABILITY)
    after = np.maximum(beliefs[1:], potentials.SMALLEST_PROBABILITY)
    return np.sum(beliefs[1:] * (np.log(after) - np.log(before)), axis=1)


def _check_beliefs(beliefs: np.ndarray) -> None:
    proper = np.all(beliefs >= 0) and np.allclose(beliefs.sum(axis=1), 1, atol=1e-4)
    if not proper:
        raise ValueError(f"beliefs must be distributions over the user types, got {beliefs}")
