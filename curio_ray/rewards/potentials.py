"""Potentials: how well a belief knows the user, as one number per belief.

Beliefs are arrays [beliefs, user types] whose rows sum to 1. The true type is one index, or
one per belief [beliefs] for users who change. Source: CURIO, arXiv 2504.03206.
"""

from __future__ import annotations

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
