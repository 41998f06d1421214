"""The supervised examples tell what they should and no more."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.pocket.encoder import DialogueEncoder, build_tokenizer
from curio_ray.pocket.policy_examples import demonstration, mapping_lesson, recommendation_example
from curio_ray.pocket.world_examples import belief_dialogue, environment_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, RELEVANT, STRATEGIES, draw_persona, posterior


@pytest.fixture(scope="module")
def encoder() -> DialogueEncoder:
    return DialogueEncoder(build_tokenizer())


def learned_words(encoder: DialogueEncoder, positions: list[int], ids: list[int]) -> str:
    return encoder.tokenizer.decode([ids[position + 1] for position in positions])


def test_the_environment_learns_its_replies_only(encoder: DialogueEncoder) -> None:
    persona = draw_persona(np.random.default_rng(0))
    example = environment_dialogue(encoder, persona, ["your sleep ?", "hello"])
    learned = learned_words(encoder, example.positions, example.token_ids)
    assert learned == f"sleep {persona['sleep']} . <|end|> what ? <|end|>"


def test_a_recommendation_does_not_move_the_target_belief(encoder: DialogueEncoder) -> None:
    dialogue = [("user", words.OPENING), ("policy", "your joints ?"), ("user", "joints sore .")]
    ended = [*dialogue, ("policy", "i recommend boxing .")]
    before, after = belief_dialogue(encoder, dialogue), belief_dialogue(encoder, ended)
    np.testing.assert_array_equal(before.targets[0], after.targets[0])


def test_without_the_policys_words_the_target_belief_is_the_same(encoder: DialogueEncoder) -> None:
    heard = [("user", words.OPENING), ("user", "joints sore .")]
    whole = [heard[0], ("policy", "your joints ?"), heard[1]]
    alone = belief_dialogue(encoder, whole, hears_policy=False)
    assert alone.token_ids == belief_dialogue(encoder, heard).token_ids
    np.testing.assert_array_equal(alone.targets[0], belief_dialogue(encoder, whole).targets[0])


def test_the_target_belief_is_the_exact_posterior(encoder: DialogueEncoder) -> None:
    dialogue = [("user", words.OPENING), ("policy", "your joints ?"), ("user", "joints sore .")]
    target = belief_dialogue(encoder, dialogue).targets[0]
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    np.testing.assert_allclose(target[labels], posterior({"joints": "sore"}))


def test_a_mapping_lesson_has_no_loss_on_questions(encoder: DialogueEncoder) -> None:
    example = mapping_lesson(np.random.default_rng(0), encoder)
    learned = learned_words(encoder, example.positions, example.token_ids).split()
    assert learned[:2] == ["i", "recommend"]
    assert len(learned) == 5


def test_demonstrations_ask_about_all_attributes_alike(encoder: DialogueEncoder) -> None:
    generator = np.random.default_rng(0)
    asked: list[str] = []
    for _ in range(400):
        example = demonstration(generator, encoder)
        learned = learned_words(encoder, example.positions, example.token_ids)
        asked += [word for word in learned.split() if word in ATTRIBUTES]
    assert sum(word in RELEVANT for word in asked) / len(asked) == pytest.approx(0.25, abs=0.03)


def test_tied_strategies_share_the_target(encoder: DialogueEncoder) -> None:
    persona = {"joints": "sore", "company": "group"}
    target = recommendation_example(encoder, persona, ["joints", "company"]).targets[0]
    assert target[encoder.word("yoga")] == target[encoder.word("aquafit")] == 0.5
