"""The supervised examples tell what they should and no more."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.pocket.encoding import Renderer
from curio_ray.pocket.network import build_tokenizer
from curio_ray.pocket.policy_examples import demonstration, mapping_lesson, recommendation_example
from curio_ray.pocket.posterior import posterior
from curio_ray.pocket.world_examples import belief_dialogue, environment_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, RELEVANT, STRATEGIES, draw_persona


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer())


def learned_words(renderer: Renderer, positions: list[int], ids: list[int]) -> str:
    return renderer.tokenizer.decode([ids[position + 1] for position in positions])


def test_the_environment_learns_its_replies_only(renderer: Renderer) -> None:
    persona = draw_persona(np.random.default_rng(0))
    example = environment_dialogue(renderer, persona, ["your sleep ?", "hello"])
    learned = learned_words(renderer, example.positions, example.token_ids)
    assert learned == f"sleep {persona['sleep']} . <|end|> what ? <|end|>"


def test_a_recommendation_does_not_move_the_target_belief(renderer: Renderer) -> None:
    dialogue = [("user", words.OPENING), ("policy", "your joints ?"), ("user", "joints sore .")]
    ended = [*dialogue, ("policy", "i recommend boxing .")]
    before, after = belief_dialogue(renderer, dialogue), belief_dialogue(renderer, ended)
    np.testing.assert_array_equal(before.targets[0], after.targets[0])


def test_without_the_policys_words_the_target_belief_is_the_same(renderer: Renderer) -> None:
    heard = [("user", words.OPENING), ("user", "joints sore .")]
    whole = [heard[0], ("policy", "your joints ?"), heard[1]]
    alone = belief_dialogue(renderer, whole, hears_policy=False)
    assert alone.token_ids == belief_dialogue(renderer, heard).token_ids
    np.testing.assert_array_equal(alone.targets[0], belief_dialogue(renderer, whole).targets[0])


def test_the_target_belief_is_the_exact_posterior(renderer: Renderer) -> None:
    dialogue = [("user", words.OPENING), ("policy", "your joints ?"), ("user", "joints sore .")]
    target = belief_dialogue(renderer, dialogue).targets[0]
    labels = [renderer.word(strategy) for strategy in STRATEGIES]
    np.testing.assert_allclose(target[labels], posterior({"joints": "sore"}))


def test_a_mapping_lesson_has_no_loss_on_questions(renderer: Renderer) -> None:
    example = mapping_lesson(np.random.default_rng(0), renderer)
    learned = learned_words(renderer, example.positions, example.token_ids).split()
    assert learned[:2] == ["i", "recommend"]
    assert len(learned) == 5


def test_demonstrations_ask_about_all_attributes_alike(renderer: Renderer) -> None:
    generator = np.random.default_rng(0)
    asked: list[str] = []
    for _ in range(400):
        example = demonstration(generator, renderer)
        learned = learned_words(renderer, example.positions, example.token_ids)
        asked += [word for word in learned.split() if word in ATTRIBUTES]
    assert sum(word in RELEVANT for word in asked) / len(asked) == pytest.approx(0.25, abs=0.03)


def test_tied_strategies_share_the_target(renderer: Renderer) -> None:
    persona = {"joints": "sore", "company": "group"}
    target = recommendation_example(renderer, persona, ["joints", "company"]).targets[0]
    assert target[renderer.word("yoga")] == target[renderer.word("aquafit")] == 0.5
