"""Intrinsic rewards: what each exchange taught the user model, one value per policy turn.

Source: the reward table of CURIO, arXiv 2504.03206.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curio_ray.rewards import potentials

FinalPotential = Literal["kept", "zero"]
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
    name: str,
    beliefs: np.ndarray,
    true_type: int,
    discount: float,
    final_potential: FinalPotential = "kept",
    clip: float | None = None,
) -> np.ndarray:
    """Intrinsic rewards [turns] from beliefs [turns + 1, user types].

    `mtrlhf` is the baseline without an intrinsic reward: zeros. `final_potential` matters to
    differences only, see `shape`. `clip` bounds each reward to [-clip, clip].

    Raises:
        ValueError: the name is unknown or a belief is not a distribution.
    """
    _check_beliefs(beliefs)
    if name == "mtrlhf":
        return np.zeros(len(beliefs) - 1)
    if name == "info_gain":
        rewards = information_gain(beliefs)
    elif name in FORMS:
        form = FORMS[name]
        potential = form.potential(beliefs, true_type)
        rewards = shape(potential, form.shaping, discount, final_potential)
    else:
        raise ValueError(f"unknown intrinsic reward '{name}'")
    return rewards if clip is None else np.clip(rewards, -clip, clip)


def shape(
    potential: np.ndarray,
    shaping: Literal["difference", "direct"],
    discount: float,
    final_potential: FinalPotential,
) -> np.ndarray:
    """Rewards [turns] from a potential [turns + 1]; a difference is γ Φ(t+1) - Φ(t).

    Differences leave the optimal policy of an episode unchanged only where the potential of its
    end counts as zero (Ng, Harada and Russell 1999). CURIO keeps the last belief instead, which
    also pays for knowing the user in the end.
    """
    if shaping == "direct":
        return potential[1:].copy()
    after = potential[1:].copy()
    if final_potential == "zero":
        after[-1] = 0.0
    return discount * after - potential[:-1]


def information_gain(beliefs: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in nats of each belief from the one before, [turns]."""
    before = np.maximum(beliefs[:-1], potentials.SMALLEST_PROBABILITY)
    after = np.maximum(beliefs[1:], potentials.SMALLEST_PROBABILITY)
    return np.sum(beliefs[1:] * (np.log(after) - np.log(before)), axis=1)


def _check_beliefs(beliefs: np.ndarray) -> None:
    proper = np.all(beliefs >= 0) and np.allclose(beliefs.sum(axis=1), 1, atol=1e-4)
    if not proper:
        raise ValueError(f"beliefs must be distributions over the user types, got {beliefs}")
