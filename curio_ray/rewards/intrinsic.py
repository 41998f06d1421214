"""Potentials: how well a belief knows the user, as one number per belief.

Beliefs are arrays [beliefs, user types] whose rows sum to 1. The true type is one index, or
one per belief [beliefs] for users who change. Source: CURIO, arXiv 2504.03206.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Keeps logarithms finite for beliefs that contain an exact zero.
SMALLEST_PROBABILITY = 1e-6


TrueTypes = int | np.ndarray


def accuracy(beliefs: np.ndarray, true_types: TrueTypes) -> np.ndarray:
    """Probability of the true type, [beliefs]."""
    return beliefs[np.arange(len(beliefs)), true_types]


def log_accuracy(beliefs: np.ndarray, true_types: TrueTypes) -> np.ndarray:
    """Log-probability of the true type in nats, [beliefs]; a zero counts as 1e-6."""
    return np.log(np.maximum(accuracy(beliefs, true_types), SMALLEST_PROBABILITY))


def negative_entropy(beliefs: np.ndarray, true_types: TrueTypes) -> np.ndarray:
    """Minus the entropy in nats, [beliefs]; the true type is not looked at."""
    return np.sum(beliefs * np.log(np.maximum(beliefs, SMALLEST_PROBABILITY)), axis=1)


FinalPotential = Literal["kept", "zero"]
Potential = Callable[[np.ndarray, TrueTypes], np.ndarray]


@dataclass(frozen=True, slots=True)
class IntrinsicForm:
    """A potential and the way it becomes a reward.

    `difference` pays the discounted change of the potential (potential-based shaping), `direct`
    pays the potential itself after every exchange.
    """

    potential: Potential
    shaping: Literal["difference", "direct"]


FORMS: dict[str, IntrinsicForm] = {
    "acc": IntrinsicForm(accuracy, "direct"),
    "log_acc": IntrinsicForm(log_accuracy, "direct"),
    "ent": IntrinsicForm(negative_entropy, "direct"),
    "diff_acc": IntrinsicForm(accuracy, "difference"),
    "diff_log_acc": IntrinsicForm(log_accuracy, "difference"),
    "diff_ent": IntrinsicForm(negative_entropy, "difference"),
}


def intrinsic_rewards(
    name: str,
    beliefs: np.ndarray,
    true_types: TrueTypes,
    discount: float,
    final_potential: FinalPotential = "kept",
    clip: float | None = None,
    before_replies: np.ndarray | None = None,
) -> np.ndarray:
    """Intrinsic rewards [turns] from beliefs [turns + 1, user types].

    `true_types` is one type, or one per belief [turns + 1] for a user who changes: then each
    belief counts by the type at its own time, and so does the one before the same turn's reply.

    `mtrlhf` is the baseline without an intrinsic reward: zeros. `final_potential` matters to
    differences only, see `shape`. `clip` bounds each reward to [-clip, clip]. With beliefs
    `before_replies` [turns, user types] a turn is paid for what the user's reply did alone, see
    `reply_gain`; `final_potential` then has no meaning.

    Raises:
        ValueError: the name is unknown or a belief is not a distribution.
    """
    _check_beliefs(beliefs)
    if name == "mtrlhf":
        return np.zeros(len(beliefs) - 1)
    before = beliefs[:-1]
    if before_replies is not None:
        _check_beliefs(before_replies)
        before = before_replies
    if name == "info_gain":
        rewards = information_gain(before, beliefs[1:])
    elif name in FORMS:
        form = FORMS[name]
        potential = form.potential(beliefs, true_types)
        if before_replies is None:
            rewards = shape(potential, form.shaping, discount, final_potential)
        else:
            at_replies = true_types if isinstance(true_types, int) else true_types[1:]
            own_words = form.potential(before_replies, at_replies)
            rewards = reply_gain(own_words, potential[1:], form.shaping, discount)
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


def reply_gain(
    before: np.ndarray,
    after: np.ndarray,
    shaping: Literal["difference", "direct"],
    discount: float,
) -> np.ndarray:
    """What the user's replies did to a potential, [turns].

    A difference γ Φ(t+1) - Φ(t) is the sum of γ (Φ(t+1) - Φ(m)) for the reply and γ Φ(m) - Φ(t) for
    the policy's words, with m the belief between them: the discount is spent at the end of a turn,
    and both ends of the reply lie there. A reply that moves nothing gets nothing, whatever γ is.
    Of a direct reward Φ(t+1) the reply's part is what it added, Φ(t+1) - Φ(m).

    Args:
        before: the potential after the policy's words, [turns].
        after: the potential after the user's reply, [turns].
        shaping: how the potential is paid.
        discount: γ.
    """
    return (after - before) * (discount if shaping == "difference" else 1.0)


def information_gain(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in nats of beliefs from those before, [turns]."""
    log_before = np.log(np.maximum(before, SMALLEST_PROBABILITY))
    log_after = np.log(np.maximum(after, SMALLEST_PROBABILITY))
    return np.sum(after * (log_after - log_before), axis=1)


def _check_beliefs(beliefs: np.ndarray) -> None:
    proper = np.all(beliefs >= 0) and np.allclose(beliefs.sum(axis=1), 1, atol=1e-4)
    if not proper:
        raise ValueError(f"beliefs must be distributions over the user types, got {beliefs}")
