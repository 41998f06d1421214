"""The pocket world's facts: attributes, strategies, the rule that joins them, the exact belief."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

Persona = Mapping[str, str]

RELEVANT: dict[str, tuple[str, str]] = {
    "joints": ("sore", "fine"),
    "water": ("likes", "avoids"),
    "company": ("alone", "group"),
    "place": ("indoors", "outdoors"),
    "pace": ("calm", "intense"),
}

BACKGROUND: dict[str, tuple[str, str]] = {
    "sleep": ("good", "poor"),
    "budget": ("low", "high"),
    "diet": ("mixed", "vegan"),
    "job": ("desk", "shop"),
    "age": ("young", "older"),
    "stress": ("rare", "constant"),
    "music": ("rock", "jazz"),
    "pets": ("dog", "cat"),
    "travel": ("train", "plane"),
    "coffee": ("daily", "never"),
    "screen": ("phone", "laptop"),
    "weather": ("sunny", "rainy"),
    "shoes": ("new", "worn"),
    "commute": ("bike", "bus"),
    "hobby": ("books", "games"),
}

ATTRIBUTES: dict[str, tuple[str, str]] = RELEVANT | BACKGROUND

# The rule: the values that make a strategy the ideal one. The conditions exclude each other and
# cover every persona; each holds for one persona in eight.
RULE: dict[str, dict[str, str]] = {
    "swimming": {"joints": "sore", "water": "likes", "company": "alone"},
    "aquafit": {"joints": "sore", "water": "likes", "company": "group"},
    "walking": {"joints": "sore", "water": "avoids", "company": "alone"},
    "yoga": {"joints": "sore", "water": "avoids", "company": "group"},
    "pilates": {"joints": "fine", "place": "indoors", "pace": "calm"},
    "boxing": {"joints": "fine", "place": "indoors", "pace": "intense"},
    "hiking": {"joints": "fine", "place": "outdoors", "pace": "calm"},
    "running": {"joints": "fine", "place": "outdoors", "pace": "intense"},
}

STRATEGIES: tuple[str, ...] = tuple(RULE)


def ideal_strategy(persona: Persona) -> str:
    """The one strategy whose conditions the persona meets.

    Raises:
        KeyError: the persona lacks an attribute that the rule needs.
    """
    joints = persona["joints"]
    for strategy, conditions in RULE.items():
        if conditions["joints"] == joints and all(
            persona[attribute] == value for attribute, value in conditions.items()
        ):
            return strategy
    raise ValueError(f"the rule knows no strategy for {dict(persona)}; use the values of RELEVANT")


def majority_share(personas: Iterable[Persona]) -> float:
    """The share of the commonest ideal strategy: the success of always recommending it."""
    counts = Counter(ideal_strategy(persona) for persona in personas)
    if not counts:
        raise ValueError("majority_share needs at least one persona")
    return max(counts.values()) / counts.total()


def draw_persona(generator: np.random.Generator) -> dict[str, str]:
    """All 20 attributes with fair random values, in random order."""
    names = [str(name) for name in generator.permutation(list(ATTRIBUTES))]
    return {name: ATTRIBUTES[name][generator.integers(2)] for name in names}


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
