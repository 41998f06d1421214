"""Arithmetic on beliefs, float64 [user types]: orders of labels, averages, temperature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, permutations

import numpy as np

# A probability that a model reports as zero would stay zero at every temperature.
SMALLEST_PROBABILITY = 1e-12


def label_orders(types: int, count: int) -> list[tuple[int, ...]]:
    """The first `count` orders of the types; in each, position i holds the type `order[i]`.

    The first is the task's own. Every further `types` orders are the rotations of one order, so
    that each type stands in each position equally often; `types` factorial orders are all.

    Raises:
        ValueError: there are fewer orders.
    """
    orders = list(islice(_rotations(types), count))
    if len(orders) < count:
        raise ValueError(f"{types} labels have {len(orders)} orders, {count} are asked for")
    return orders


def _rotations(types: int) -> Iterator[tuple[int, ...]]:
    for rest in permutations(range(1, types)):
        first = (0, *rest)
        for start in range(types):
            yield (*first[start:], *first[:start])


def belief_over_types(labels: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """From a distribution over labels in an order to one over the user types."""
    belief = np.empty_like(labels)
    belief[list(order)] = labels
    return belief


def average(beliefs: Sequence[np.ndarray]) -> np.ndarray:
    """The uniform mixture of several beliefs."""
    return np.mean(np.stack(beliefs), axis=0)


def at_temperature(beliefs: np.ndarray, temperature: float) -> np.ndarray:
    """Beliefs [..., user types] with their log-probabilities divided by a temperature.

    Applied to a mixture it scales the whole ensemble (pool, then calibrate). Source of the
    scaling: Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599.
    """
    if temperature == 1:
        return beliefs
    logits = np.log(np.maximum(beliefs, SMALLEST_PROBABILITY)) / temperature
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
