"""Win rates from paired comparisons: two policies, the same users, one verdict per user.

A verdict is 1 where the first policy was better, -1 where the second was, 0 for a tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curio_ray.evaluation.intervals import Interval, wilson_interval


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the first policy was better.

    `inconsistent` is the share of users where the judge's verdict changed with the order in which
    it was shown the dialogues, and `first_shown` the share of all its verdicts for the dialogue
    that it was shown first; None where no order was involved.
    """

    wins: int
    ties: int
    losses: int
    inconsistent: float | None = None
    first_shown: float | None = None

    @property
    def rate(self) -> float:
        """Share of users with whom the first policy was better; a tie counts half."""
        return (self.wins + self.ties / 2) / (self.wins + self.ties + self.losses)

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the rate.

        With ties it is wider than need be: outcomes of a half vary less than those of 0 and 1.
        """
        count = self.wins + self.ties + self.losses
        return wilson_interval(self.wins + self.ties / 2, count)


def win_rate_of_judge(chances: np.ndarray) -> WinRate:
    """From a judge that saw each pair in both orders.

    A policy wins where it is preferred in both orders. Where the orders disagree, or a chance is
    exactly a half, it is a tie. Source of the procedure: Zheng et al., Judging LLM-as-a-Judge,
    arXiv 2306.05685.

    Args:
        chances: [users, 2], that the first policy's dialogue is better: where it was shown first,
            and where it was shown second.
    """
    preferred = np.sign(chances - 0.5)
    agreed = preferred[:, 0] == preferred[:, 1]
    verdicts = np.where(agreed, preferred[:, 0], 0)
    first_shown = np.concatenate([preferred[:, 0] > 0, preferred[:, 1] < 0])
    return _count(verdicts, float(np.mean(~agreed)), float(np.mean(first_shown)))


def win_rate_of_verdicts(first: np.ndarray, second: np.ndarray, margin: float) -> WinRate:
    """From one score per dialogue, [users] each; scores no further apart than `margin` tie."""
    difference = first - second
    return _count(np.where(np.abs(difference) > margin, np.sign(difference), 0))


def _count(
    verdicts: np.ndarray, inconsistent: float | None = None, first_shown: float | None = None
) -> WinRate:
    wins, ties, losses = (int(np.sum(verdicts == each)) for each in (1, 0, -1))
    return WinRate(wins, ties, losses, inconsistent, first_shown)
