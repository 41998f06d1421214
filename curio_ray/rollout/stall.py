"""When a dialogue's belief has stalled: what is said no longer tells anything of the user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def has_stalled(beliefs: Sequence[np.ndarray], exchanges: int, change: float) -> bool:
    """Whether each of the last `exchanges` exchanges moved the belief by less than `change`.

    Moves are total variation distances, half the sum of the absolute differences, in [0, 1]. A
    dialogue with fewer exchanges has not stalled. The idea of cutting a dialogue there: T³,
    arXiv 2510.12264.

    Args:
        beliefs: the belief before the first exchange and after each, [user types].
        exchanges: how many in a row must move little, at least 1.
        change: the smallest move that counts as one.
    """
    if len(beliefs) <= exchanges:
        return False
    moves = np.abs(np.diff(np.stack(beliefs[-exchanges - 1 :]), axis=0)).sum(axis=1) / 2
    return bool(np.all(moves < change))
