"""The exact belief over the ideal strategy, given what is known of a user."""

from __future__ import annotations

import numpy as np

from curio_ray.tasks.exercise.rule import RULE, Persona


def posterior(facts: Persona) -> np.ndarray:
    """Bayesian posterior over the strategies, in the order of `STRATEGIES`: float64 [8].

    The prior makes every attribute's two values equally likely and independent. A strategy needs
    a conjunction of values, so its probability is a product: 1 for a condition known to hold,
    0 for one known to fail, 1/2 for one not known.
    """
    return np.array([_probability(conditions, facts) for conditions in RULE.values()])


def best_guesses(facts: Persona) -> np.ndarray:
    """The indices of the most probable strategies: more than one where they tie."""
    belief = posterior(facts)
    return np.flatnonzero(belief >= belief.max() - 1e-9)


def _probability(conditions: Persona, facts: Persona) -> float:
    probability = 1.0
    for attribute, value in conditions.items():
        probability *= float(facts[attribute] == value) if attribute in facts else 0.5
    return probability
