"""How a pocket user changes: another persona with other preferences and the same background."""

from __future__ import annotations

import numpy as np

from curio_ray.pocket.world import ATTRIBUTES, RELEVANT, RULE, Persona


def with_strategy(generator: np.random.Generator, persona: Persona, strategy: str) -> Persona:
    """The persona with relevant attributes drawn anew among those whose ideal is `strategy`.

    Background attributes and the order of all attributes stay. Relevant attributes that the
    rule of `strategy` does not name get fair random values.
    """
    drawn = {name: ATTRIBUTES[name][generator.integers(2)] for name in RELEVANT}
    return {**persona, **drawn, **RULE[strategy]}


def other_value(attribute: str, value: str) -> str:
    """The attribute's second value."""
    first, second = ATTRIBUTES[attribute]
    return second if value == first else first
