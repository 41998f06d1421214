"""Examples of users who change: the persona of now answers, the latest answer counts."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.pocket.changing_examples import (
    changed_belief_example,
    changed_dialogue,
    changed_environment_example,
)
from curio_ray.pocket.encoding import Renderer
from curio_ray.pocket.lessons import train_changing_world
from curio_ray.pocket.network import build_network, build_tokenizer
from curio_ray.pocket.posterior import posterior
from curio_ray.pocket.train import Schedule
from curio_ray.pocket.world_examples import belief_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import BACKGROUND, STRATEGIES, draw_persona, ideal_strategy
from curio_ray.tasks.exercise.users import with_strategy

BEFORE, NOW = {"joints": "sore", "weather": "sunny"}, {"joints": "fine", "weather": "rainy"}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer())


def learned_words(renderer: Renderer, example) -> str:
    return renderer.tokenizer.decode([int(target.argmax()) for target in example.targets])


def test_only_the_replies_after_the_change_are_learned(renderer: Renderer) -> None:
    example = changed_dialogue(renderer, BEFORE, NOW, ["your joints ?"] * 3, past=2)
    assert learned_words(renderer, example) == "joints fine . <|end|>"
    assert "joints sore . <|end|>" in renderer.tokenizer.decode(example.token_ids)


def test_a_stated_change_is_given_and_not_learned(renderer: Renderer) -> None:
    said = ["your joints ?", "your joints ?"]
    example = changed_dialogue(renderer, BEFORE, NOW, said, past=1, context="weather")
    text = renderer.tokenizer.decode(example.token_ids)
    assert "fits me ? weather sunny . <|end|>" in text
    assert "weather rainy . joints fine . <|end|>" in text
    assert learned_words(renderer, example) == "joints fine . <|end|>"


def test_a_targets_position_is_right_before_its_token(renderer: Renderer) -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        example = changed_environment_example(generator, renderer)
        for position, target in zip(example.positions, example.targets, strict=True):
            assert example.token_ids[position + 1] == target.argmax()


def test_the_latest_answer_counts_in_the_target_belief(renderer: Renderer) -> None:
    told = [("user", words.OPENING)]
    for value in ("sore", "fine"):
        told += [("policy", "your joints ?"), ("user", f"joints {value} .")]
    target = belief_dialogue(renderer, told).targets[0]
    labels = [renderer.word(strategy) for strategy in STRATEGIES]
    np.testing.assert_allclose(target[labels], posterior({"joints": "fine"}))


def test_belief_examples_fit_into_the_models_context(renderer: Renderer) -> None:
    generator = np.random.default_rng(0)
    lengths = [len(changed_belief_example(generator, renderer).token_ids) for _ in range(200)]
    assert max(lengths) < 512


def test_another_strategy_changes_the_preferences_alone() -> None:
    generator = np.random.default_rng(0)
    for strategy in STRATEGIES:
        persona = draw_persona(generator)
        other = with_strategy(generator, persona, strategy)
        assert ideal_strategy(other) == strategy
        assert list(other) == list(persona)
        assert all(other[name] == persona[name] for name in BACKGROUND)


def test_the_same_seed_teaches_the_same_changing_world() -> None:
    tokenizer, short = build_tokenizer(), Schedule(steps=2)
    first, second = (
        train_changing_world(build_network(tokenizer, 0), tokenizer, 0, short, short)
        for _ in range(2)
    )
    for name, weights in first.state_dict().items():
        assert bool((weights == second.state_dict()[name]).all())
