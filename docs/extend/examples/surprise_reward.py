"""A reward of one's own: how far each turn moved the belief, 0 to 1."""

import numpy as np

from curio_ray.rewards.intrinsic import BeliefSequence


def surprise(sequence: BeliefSequence) -> np.ndarray:
    """Half the absolute change of the belief, [turns]."""
    return np.abs(sequence.after - sequence.before).sum(axis=1) / 2
