"""The packaged models do what their card says, on users that are held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from transformers import AutoTokenizer, LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.errors import ConfigError
from curio_ray.model_paths import assets_folder, pocket_model
from curio_ray.pocket.build import CARD_NAME, load_model
from curio_ray.pocket.conversation import odd_recommendation
from curio_ray.pocket.encoder import DialogueEncoder, Utterance, vocabulary
from curio_ray.pocket.evaluate_changing_world import (
    changed_answer_share,
    changed_belief_distance,
    stated_answer_share,
)
from curio_ray.pocket.evaluate_policy import evaluate_policy
from curio_ray.pocket.evaluate_world import (
    measure_belief,
    odd_answer_share,
    right_judgement_share,
    true_answer_share,
)
from curio_ray.pocket.network import label_distribution
from curio_ray.pocket.world_examples import belief_dialogue, judgement_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import STRATEGIES
from curio_ray.tasks.exercise.task import ExerciseTask
from curio_ray.tasks.exercise.words import USER_MODEL_PROMPT


@pytest.fixture(scope="module")
def users() -> Sequence[User]:
    return ExerciseTask(seed=0).users("held_out")[:64]


@pytest.fixture(scope="module")
def encoder() -> DialogueEncoder:
    return DialogueEncoder(AutoTokenizer.from_pretrained(pocket_model("world")))


@pytest.fixture(scope="module")
def world() -> LlamaForCausalLM:
    return load_model(pocket_model("world"))


@pytest.fixture(scope="module")
def policy() -> LlamaForCausalLM:
    return load_model(pocket_model("policy"))


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def test_the_simulated_user_is_true_to_its_persona(
    world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> None:
    assert true_answer_share(world, encoder, users, generator) >= 0.97


def test_the_simulated_user_answers_odd_utterances_by_rule(
    world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> None:
    assert odd_answer_share(world, encoder, users, generator) >= 0.9


@pytest.mark.parametrize("hears_policy", [True, False], ids=["dialogue", "user_words"])
@pytest.mark.parametrize("relevant", range(6))
def test_the_belief_is_close_to_the_exact_posterior(
    world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
    relevant: int,
    hears_policy: bool,
) -> None:
    figures, _, _ = measure_belief(world, encoder, users, relevant, generator, hears_policy)
    assert figures.divergence < 0.1


def test_a_recommendation_does_not_move_the_belief(
    world: LlamaForCausalLM, encoder: DialogueEncoder
) -> None:
    told: list[Utterance] = [("user", words.OPENING)]
    for attribute, value in (("joints", "fine"), ("place", "outdoors"), ("pace", "calm")):
        told += [("policy", words.question(attribute)), ("user", words.answer(attribute, value))]
    persuaded = [
        belief_dialogue(encoder, [*told, ("policy", words.recommendation(strategy))])
        for strategy in STRATEGIES
    ]
    labels = [encoder.word(label) for label in USER_MODEL_PROMPT.labels]
    beliefs = label_distribution(world, persuaded, labels)
    assert beliefs[:, STRATEGIES.index("hiking")].min() > 0.9


def test_the_judge_is_right(
    world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> None:
    assert right_judgement_share(world, encoder, users, generator) >= 0.98


def test_the_policy_starts_unskilled_but_knows_what_full_answers_imply(
    policy: LlamaForCausalLM, encoder: DialogueEncoder
) -> None:
    figures = evaluate_policy(policy, encoder, ExerciseTask(seed=0).users("held_out"), seed=0)
    assert 0.18 <= figures.success <= 0.3
    assert figures.relevant_questions == pytest.approx(0.25, abs=0.06)
    assert figures.success_when_told > 0.9


def test_the_judge_approves_of_no_recommendation_of_nonsense(
    world: LlamaForCausalLM, encoder: DialogueEncoder, generator: np.random.Generator
) -> None:
    nonsense = [odd_recommendation(generator) for _ in range(40)]
    examples = [
        judgement_dialogue(encoder, [("user", words.OPENING), ("policy", said)], ideal)
        for ideal in STRATEGIES
        for said in nonsense
        if not words.recommended_strategies(said)
    ]
    labels = [encoder.word(label) for label in words.REWARD_MODEL_LABELS]
    verdicts = label_distribution(world, examples, labels)
    assert verdicts[:, 0].min() > 0.5


@pytest.fixture(scope="module")
def changing_world() -> LlamaForCausalLM:
    return load_model(pocket_model("changing_world"))


@pytest.mark.parametrize("announced", [False, True])
def test_a_changed_user_answers_as_who_it_is_now(
    changing_world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
    announced: bool,
) -> None:
    share = changed_answer_share(changing_world, encoder, users, generator, announced)
    assert share >= 0.99


def test_of_contradicting_answers_the_latest_counts(
    changing_world: LlamaForCausalLM, encoder: DialogueEncoder, generator: np.random.Generator
) -> None:
    everybody = ExerciseTask(seed=0).users("held_out")
    assert changed_belief_distance(changing_world, encoder, everybody, generator) <= 0.03


def test_the_model_of_changing_users_is_as_true_to_those_who_do_not_change(
    changing_world: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> None:
    assert true_answer_share(changing_world, encoder, users, generator) >= 0.97
    assert stated_answer_share(changing_world, encoder, users, generator) >= 0.97
    assert right_judgement_share(changing_world, encoder, users, generator) >= 0.98
    for hears_policy in (True, False):
        figures, _, _ = measure_belief(changing_world, encoder, users, 4, generator, hears_policy)
        assert figures.divergence < 0.1


@pytest.mark.parametrize("name", ["policy", "world", "changing_world"])
def test_a_packaged_tokenizer_is_the_recipes(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pocket_model(name))
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == vocabulary()


def test_the_card_states_figures() -> None:
    card = (assets_folder() / CARD_NAME).read_text()
    for figure in (
        "replies true to the persona",
        "KL(posterior, belief)",
        "success",
        "calibration",
        "posterior of the latest answers",
    ):
        assert figure in card


def test_an_unknown_pocket_model_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="pocket:policy or pocket:world or pocket:changing_world"):
        pocket_model("wrld")
