"""The rule that maps personas to strategies, and the exact belief that follows from it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from curio_ray.tasks.exercise.rule import (
    ATTRIBUTES,
    RELEVANT,
    STRATEGIES,
    best_guesses,
    draw_persona,
    ideal_strategy,
    majority_share,
    posterior,
)


def relevant_personas() -> list[dict[str, str]]:
    return [dict(zip(RELEVANT, values, strict=True)) for values in product(*RELEVANT.values())]


def test_every_persona_has_one_ideal_strategy_and_all_are_equally_common() -> None:
    counts = Counter(ideal_strategy(persona) for persona in relevant_personas())
    assert counts == dict.fromkeys(STRATEGIES, 4)


def test_the_majority_share_is_one_in_eight() -> None:
    assert majority_share(relevant_personas()) == 1 / 8


def test_no_single_attribute_determines_the_strategy() -> None:
    for attribute, values in RELEVANT.items():
        for value in values:
            strategies = {
                ideal_strategy(persona)
                for persona in relevant_personas()
                if persona[attribute] == value
            }
            assert len(strategies) >= 4


def test_every_relevant_attribute_decides_for_somebody() -> None:
    for attribute, (first, second) in RELEVANT.items():
        assert any(
            ideal_strategy(persona | {attribute: first})
            != ideal_strategy(persona | {attribute: second})
            for persona in relevant_personas()
        )


def test_there_are_twenty_attributes_and_no_value_is_shared() -> None:
    values = [value for pair in ATTRIBUTES.values() for value in pair]
    assert len(ATTRIBUTES) == 20
    assert len(set(values)) == 40


@pytest.mark.parametrize("known", range(6))
def test_the_posterior_equals_counting_all_personas(known: int) -> None:
    for names in combinations(RELEVANT, known):
        for values in product(*(RELEVANT[name] for name in names)):
            facts = dict(zip(names, values, strict=True))
            fitting = [p for p in relevant_personas() if facts.items() <= p.items()]
            counts = Counter(ideal_strategy(persona) for persona in fitting)
            exact = [counts[strategy] / len(fitting) for strategy in STRATEGIES]
            np.testing.assert_allclose(posterior(facts), exact)


def test_background_attributes_do_not_move_the_posterior() -> None:
    np.testing.assert_allclose(posterior({"sleep": "poor", "pets": "cat"}), np.full(8, 1 / 8))


def test_best_guesses_are_all_strategies_that_tie() -> None:
    facts = {"joints": "sore", "company": "group"}
    assert [STRATEGIES[index] for index in best_guesses(facts)] == ["aquafit", "yoga"]


def test_a_drawn_persona_has_all_attributes() -> None:
    persona = draw_persona(np.random.default_rng(0))
    assert set(persona) == set(ATTRIBUTES)
    assert all(value in ATTRIBUTES[name] for name, value in persona.items())
