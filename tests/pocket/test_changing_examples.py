"""Examples of users who change: the persona of now answers, the latest answer counts."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.pocket.changing_examples import (
    changed_belief_example,
    changed_dialogue,
    changed_environment_example,
)
from curio_ray.pocket.encoder import DialogueEncoder, build_tokenizer
from curio_ray.pocket.lessons import train_changing_world
from curio_ray.pocket.network import build_network
from curio_ray.pocket.train import Schedule
from curio_ray.pocket.world_examples import belief_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import (
    BACKGROUND,
    STRATEGIES,
    draw_persona,
    ideal_strategy,
    posterior,
)
from curio_ray.tasks.exercise.users import with_strategy

BEFORE, NOW = {"joints": "sore", "weather": "sunny"}, {"joints": "fine", "weather": "rainy"}


@pytest.fixture(scope="module")
def encoder() -> DialogueEncoder:
    return DialogueEncoder(build_tokenizer())


def learned_words(encoder: DialogueEncoder, example) -> str:
    return encoder.tokenizer.decode([int(target.argmax()) for target in example.targets])


def test_only_the_replies_after_the_change_are_learned(encoder: DialogueEncoder) -> None:
    example = changed_dialogue(encoder, BEFORE, NOW, ["your joints ?"] * 3, past=2)
    assert learned_words(encoder, example) == "joints fine . <|end|>"
    assert "joints sore . <|end|>" in encoder.tokenizer.decode(example.token_ids)


def test_a_stated_change_is_given_and_not_learned(encoder: DialogueEncoder) -> None:
    said = ["your joints ?", "your joints ?"]
    example = changed_dialogue(encoder, BEFORE, NOW, said, past=1, context="weather")
    text = encoder.tokenizer.decode(example.token_ids)
    assert "fits me ? weather sunny . <|end|>" in text
    assert "weather rainy . joints fine . <|end|>" in text
    assert learned_words(encoder, example) == "joints fine . <|end|>"


def test_a_targets_position_is_right_before_its_token(encoder: DialogueEncoder) -> None:
    generator = np.random.default_rng(3)
    for _ in range(20):
        example = changed_environment_example(generator, encoder)
        for position, target in zip(example.positions, example.targets, strict=True):
            assert example.token_ids[position + 1] == target.argmax()


def test_the_latest_answer_counts_in_the_target_belief(encoder: DialogueEncoder) -> None:
    told = [("user", words.OPENING)]
    for value in ("sore", "fine"):
        told += [("policy", "your joints ?"), ("user", f"joints {value} .")]
    target = belief_dialogue(encoder, told).targets[0]
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    np.testing.assert_allclose(target[labels], posterior({"joints": "fine"}))


def test_belief_examples_fit_into_the_models_context(encoder: DialogueEncoder) -> None:
    generator = np.random.default_rng(0)
    lengths = [len(changed_belief_example(generator, encoder).token_ids) for _ in range(200)]
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
