"""Intrinsic rewards: what a turn earns for what it taught the user model; those of the paper.

Each reward is a pure function of the beliefs of one dialogue. Source: CURIO, arXiv 2504.03206.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curio_ray.errors import RewardError

# Keeps logarithms finite for beliefs that contain an exact zero.
SMALLEST_PROBABILITY = 1e-6

FinalPotential = Literal["kept", "zero"]


@dataclass(frozen=True, slots=True)
class BeliefSequence:
    """What a dialogue's intrinsic rewards are made of.

    `beliefs` [turns + 1, user types] are those before the first turn of the policy and after each
    exchange, a turn with the user's reply; each row sums to 1. `true_types`, int [turns + 1], is
    the user's type at the time of each belief. `discount` is γ, spent at each turn boundary.

    `before_replies` [turns, user types] are the beliefs after the policy's words and before the
    user's reply. They are there only with `rewards.intrinsic.attribution: reply`: then a turn is
    paid for what the reply alone did. `final_potential` matters to potential-based rewards.

    Raises:
        ValueError: a belief is not a distribution.
    """

    beliefs: np.ndarray
    true_types: np.ndarray
    discount: float = 1.0
    before_replies: np.ndarray | None = None
    final_potential: FinalPotential = "kept"

    def __post_init__(self) -> None:
        _check_beliefs(self.beliefs)
        if self.before_replies is not None:
            _check_beliefs(self.before_replies)

    @property
    def before(self) -> np.ndarray:
        """The belief from which each turn's gain counts, [turns, user types]."""
        return self.beliefs[:-1] if self.before_replies is None else self.before_replies

    @property
    def true_types_before(self) -> np.ndarray:
        """The true type by which each row of `before` counts, [turns].

        A belief before a reply counts by the type of who gives it.
        """
        return self.true_types[:-1] if self.before_replies is None else self.true_types[1:]

    @property
    def after(self) -> np.ndarray:
        """The belief after each turn and the reply to it, [turns, user types]."""
        return self.beliefs[1:]

    @property
    def true_types_after(self) -> np.ndarray:
        """The true type by which each row of `after` counts, [turns]."""
        return self.true_types[1:]


RewardFunction = Callable[[BeliefSequence], np.ndarray]
"""From the beliefs of a dialogue to its rewards, one per turn of the policy."""

Potential = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From beliefs [n, user types] and true types [n] to how well each knows the user, [n]."""


@dataclass(frozen=True, slots=True)
class IntrinsicReward:
    """A reward function, and what is known of it.

    `needs_true_type` says that it looks at the true types. `potential_based` says that it is the
    discounted change of a potential and obeys `final_potential`. `formula` is its reward of turn t
    for people, with b(t) the belief before the turn and u the true type.
    """

    name: str
    function: RewardFunction
    needs_true_type: bool = True
    potential_based: bool = False
    formula: str = ""

    def __call__(self, sequence: BeliefSequence) -> np.ndarray:
        """The reward of each turn, [turns]."""
        return self.function(sequence)


def intrinsic_rewards(
    reward: IntrinsicReward, sequence: BeliefSequence, clip: float | None = None
) -> np.ndarray:
    """The reward of each turn, float64 [turns], bounded to [-clip, clip].

    Raises:
        RewardError: the function failed, or returned anything but a finite number per turn.
    """
    turns = len(sequence.after)
    try:
        rewards = np.asarray(reward(sequence), dtype=np.float64)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise RewardError(
            f"rewards.intrinsic: {reward.name} ended with {type(error).__name__}: {error} "
            f"({at.filename}, line {at.lineno})"
        ) from error
    if rewards.shape != (turns,):
        raise RewardError(
            f"rewards.intrinsic: {reward.name} returned an array of shape {rewards.shape}; return "
            f"one number per turn of the policy, here {(turns,)}"
        )
    if not np.all(np.isfinite(rewards)):
        raise RewardError(
            f"rewards.intrinsic: {reward.name} returned {rewards}; return finite numbers"
        )
    return rewards if clip is None else np.clip(rewards, -clip, clip)


def accuracy(beliefs: np.ndarray, true_types: np.ndarray) -> np.ndarray:
    """Probability of the true type, [beliefs]."""
    return beliefs[np.arange(len(beliefs)), true_types]


def log_accuracy(beliefs: np.ndarray, true_types: np.ndarray) -> np.ndarray:
    """Log-probability of the true type in nats, [beliefs]; a zero counts as 1e-6."""
    return np.log(np.maximum(accuracy(beliefs, true_types), SMALLEST_PROBABILITY))


def negative_entropy(beliefs: np.ndarray, true_types: np.ndarray) -> np.ndarray:
    """Minus the entropy in nats, [beliefs]; the true type is not looked at."""
    return np.sum(beliefs * np.log(np.maximum(beliefs, SMALLEST_PROBABILITY)), axis=1)


def direct(potential: Potential) -> RewardFunction:
    """A reward that pays the potential Φ(t+1) after every exchange.

    Of it the reply's part is what it added to the potential Φ(m) before it: Φ(t+1) - Φ(m).
    """

    def rewards(sequence: BeliefSequence) -> np.ndarray:
        after = potential(sequence.after, sequence.true_types_after)
        if sequence.before_replies is None:
            return after
        return after - potential(sequence.before, sequence.true_types_before)

    return rewards


def difference(potential: Potential) -> RewardFunction:
    """A reward that pays the discounted change of the potential, γ Φ(t+1) - Φ(t).

    Differences leave the optimal policy of an episode unchanged only where the potential of its
    end counts as zero (Ng, Harada and Russell 1999). CURIO keeps the last belief instead, which
    also pays for knowing the user in the end.

    The difference is the sum of γ (Φ(t+1) - Φ(m)) for the reply and γ Φ(m) - Φ(t) for the policy's
    words, with m the belief between them: the discount is spent at the end of a turn, and both
    ends of the reply lie there. A reply that moves nothing gets nothing, whatever γ is.
    """

    def rewards(sequence: BeliefSequence) -> np.ndarray:
        before = potential(sequence.before, sequence.true_types_before)
        after = potential(sequence.after, sequence.true_types_after)
        if sequence.before_replies is not None:
            return sequence.discount * (after - before)
        if sequence.final_potential == "zero":
            after[-1] = 0.0
        return sequence.discount * after - before

    return rewards


def information_gain(sequence: BeliefSequence) -> np.ndarray:
    """Kullback-Leibler divergence in nats of beliefs from those before, [turns]."""
    log_before = np.log(np.maximum(sequence.before, SMALLEST_PROBABILITY))
    log_after = np.log(np.maximum(sequence.after, SMALLEST_PROBABILITY))
    return np.sum(sequence.after * (log_after - log_before), axis=1)


def nothing(sequence: BeliefSequence) -> np.ndarray:
    """No intrinsic reward, [turns] zeros: the difference of a potential that is 0 everywhere."""
    return np.zeros(len(sequence.after))


OF_THE_PAPER = (
    IntrinsicReward("mtrlhf", nothing, False, True, "0, the baseline"),
    IntrinsicReward("acc", direct(accuracy), True, False, "b(t+1)[u]"),
    IntrinsicReward("log_acc", direct(log_accuracy), True, False, "log b(t+1)[u]"),
    IntrinsicReward("ent", direct(negative_entropy), False, False, "−H(b(t+1))"),
    IntrinsicReward("diff_acc", difference(accuracy), True, True, "γ b(t+1)[u] − b(t)[u]"),
    IntrinsicReward(
        "diff_log_acc", difference(log_accuracy), True, True, "γ log b(t+1)[u] − log b(t)[u]"
    ),
    IntrinsicReward("diff_ent", difference(negative_entropy), False, True, "H(b(t)) − γ H(b(t+1))"),
    IntrinsicReward("info_gain", information_gain, False, False, "KL(b(t+1) ‖ b(t))"),
)
"""The rewards of the paper, the baseline first."""


def _check_beliefs(beliefs: np.ndarray) -> None:
    proper = np.all(beliefs >= 0) and np.allclose(beliefs.sum(axis=1), 1, atol=1e-4)
    if not proper:
        raise ValueError(f"beliefs must be distributions over the user types, got {beliefs}")
