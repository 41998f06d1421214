"""Confidence intervals: Wilson's for shares, the percentile bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 1000


def wilson_interval(hits: float, count: int) -> Interval:
    """Of a share of independent trials; stays within [0, 1] and is not empty at 0 and 1.

    `hits` may hold halves, for trials that are half a hit.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927).

    Raises:
        ValueError: there were no trials, or more hits than trials.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"a share needs 0 <= hits <= count and count > 0, got {hits} of {count}")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, widening = hits / count, z * z / count
    centre = (share + widening / 2) / (1 + widening)
    half = z * np.sqrt(share * (1 - share) / count + widening / (4 * count)) / (1 + widening)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], count: int, seed: int
) -> Interval | None:
    """Of a statistic over `count` independent dialogues, drawn again with replacement.

    Args:
        statistic: from weights [count], how often each dialogue was drawn, to a value; NaN
            where it is undefined, which leaves the draw out.
        count: how many dialogues there are.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The interval, or None where the statistic was defined for no draw.
    """
    generator = np.random.default_rng(seed)
    values = np.array(
        [
            statistic(np.bincount(generator.integers(count, size=count), minlength=count))
            for _ in range(RESAMPLES)
        ]
    )
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def ratio_statistic(
    numerators: np.ndarray, denominators: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Sum over sum, for `bootstrap_interval`; with denominators of one it is the mean."""

    def ratio(weights: np.ndarray) -> float:
        total = float(weights @ denominators)
        return float(weights @ numerators) / total if total else float("nan")

    return ratio
