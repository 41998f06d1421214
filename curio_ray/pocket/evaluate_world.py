"""How faithful the world model is to the rule, measured on held-out users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.pocket.conversation import converse, mixed_attributes, odd_utterance
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.network import calibration_error, exact_reply_share, label_distribution
from curio_ray.pocket.world_examples import (
    belief_dialogue,
    environment_dialogue,
    judgement_dialogue,
)
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, RELEVANT, STRATEGIES

ODD_UTTERANCES = 6
LEVELS_OF_KNOWLEDGE = 1 + len(RELEVANT)


@dataclass(frozen=True, slots=True)
class BeliefFigures:
    """The belief after some number of relevant answers, against the exact posterior.

    `divergence` is the mean KL(posterior, belief) in nats; `accuracy` is how often the likeliest
    type is the user's own, `best_accuracy` how often the exact posterior's is.
    """

    relevant_answers: int
    divergence: float
    accuracy: float
    best_accuracy: float


@dataclass(frozen=True, slots=True)
class WorldFigures:
    """All shares are in [0, 1]; `calibration_error` is that of the likeliest type, in ten bins.

    `user_words_beliefs` are read from the user's words alone.
    """

    true_answers: float
    right_odd_replies: float
    beliefs: tuple[BeliefFigures, ...]
    user_words_beliefs: tuple[BeliefFigures, ...]
    calibration_error: float
    right_judgements: float


def evaluate_world(
    network: LlamaForCausalLM, encoder: DialogueEncoder, users: Sequence[User], seed: int
) -> WorldFigures:
    """Measure the three frozen roles of the world model."""
    generator = np.random.default_rng(seed)
    per_level, alone = (
        [
            measure_belief(network, encoder, users, relevant, generator, hears_policy)
            for relevant in range(LEVELS_OF_KNOWLEDGE)
        ]
        for hears_policy in (True, False)
    )
    confidences = np.concatenate([confidence for _, confidence, _ in per_level])
    hits = np.concatenate([hit for _, _, hit in per_level])
    return WorldFigures(
        true_answers=true_answer_share(network, encoder, users, generator),
        right_odd_replies=odd_answer_share(network, encoder, users, generator),
        beliefs=tuple(figures for figures, _, _ in per_level),
        user_words_beliefs=tuple(figures for figures, _, _ in alone),
        calibration_error=calibration_error(confidences, hits),
        right_judgements=right_judgement_share(network, encoder, users, generator),
    )


def true_answer_share(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> float:
    """The share of replies, word for word, to eight random questions a user, decoded greedily."""
    examples = []
    for user in users:
        asked = generator.permutation(list(ATTRIBUTES))[: words.MAX_QUESTIONS]
        said = [words.question(str(name)) for name in asked]
        examples.append(environment_dialogue(encoder, user.persona, said))
    return exact_reply_share(network, examples, encoder.end)


def odd_answer_share(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> float:
    """The share of replies as the rule has them to six odd utterances a user."""
    examples = [
        environment_dialogue(
            encoder, user.persona, [odd_utterance(generator) for _ in range(ODD_UTTERANCES)]
        )
        for user in users
    ]
    return exact_reply_share(network, examples, encoder.end)


def measure_belief(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    relevant: int,
    generator: np.random.Generator,
    hears_policy: bool = True,
) -> tuple[BeliefFigures, np.ndarray, np.ndarray]:
    """Figures, confidences [users] and hits [users] after so many relevant answers.

    None to three background answers are mixed in, and something odd is said now and then. Without
    `hears_policy` the transcript holds the user's words alone.
    """
    examples = []
    for user in users:
        attributes = mixed_attributes(generator, relevant, int(generator.integers(4)))
        dialogue = converse(generator, user.persona, attributes, oddity=0.1)
        examples.append(belief_dialogue(encoder, dialogue, hears_policy))
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    belief = label_distribution(network, examples, labels)
    exact = np.stack([example.targets[0][labels] for example in examples]).astype(np.float64)
    types = np.array([user.type_index for user in users])
    hits = belief.argmax(1) == types
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(exact > 0, exact * np.log(exact / belief), 0.0)
    figures = BeliefFigures(
        relevant_answers=relevant,
        divergence=float(terms.sum(1).mean()),
        accuracy=float(hits.mean()),
        best_accuracy=float(exact.max(1).mean()),
    )
    return figures, belief.max(1), hits


def right_judgement_share(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> float:
    """The share of right verdicts, for each user on the ideal strategy and on another."""
    examples = []
    for user in users:
        ideal = STRATEGIES[user.type_index]
        other = STRATEGIES[(user.type_index + generator.integers(1, 8)) % 8]
        for recommended in (ideal, other):
            attributes = mixed_attributes(generator, int(generator.integers(6)), 2)
            dialogue = converse(generator, user.persona, attributes, oddity=0.1)
            dialogue.append(("policy", words.recommendation(recommended)))
            examples.append(judgement_dialogue(encoder, dialogue, ideal))
    labels = [encoder.word(label) for label in words.REWARD_MODEL_LABELS]
    verdicts = label_distribution(network, examples, labels).argmax(1)
    wanted = np.array([example.targets[0][labels].argmax() for example in examples])
    return float((verdicts == wanted).mean())
