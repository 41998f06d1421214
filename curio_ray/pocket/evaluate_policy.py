"""What the policy's start can do, measured on held-out users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.pocket.conversation import mixed_attributes
from curio_ray.pocket.encoding import Renderer
from curio_ray.pocket.policy_examples import recommendation_example
from curio_ray.pocket.sampling import hold_dialogues
from curio_ray.pocket.scoring import label_distribution
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT, STRATEGIES

QUESTIONS = 5


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """Shares in [0, 1], sampled at temperature 1 with five questions.

    `success_when_told` is the mean probability of the ideal strategy after all five relevant
    answers: what the start could reach by only asking better.
    """

    success: float
    relevant_questions: float
    success_when_told: float


def evaluate_policy(
    network: LlamaForCausalLM, renderer: Renderer, users: Sequence[User], seed: int
) -> PolicyFigures:
    """Hold one dialogue with each user; the users answer by rule."""
    dialogues = hold_dialogues(network, renderer, users, QUESTIONS, seed)
    success = [
        words.recommended_strategies(said[-1]) == {STRATEGIES[user.type_index]}
        for user, said in zip(users, dialogues, strict=True)
    ]
    asked = [words.asked_attribute(text) for said in dialogues for text in said]
    relevant = [attribute in RELEVANT for attribute in asked if attribute is not None]
    return PolicyFigures(
        success=float(np.mean(success)),
        relevant_questions=sum(relevant) / max(len(relevant), 1),
        success_when_told=success_when_told(network, renderer, users, seed),
    )


def success_when_told(
    network: LlamaForCausalLM, renderer: Renderer, users: Sequence[User], seed: int
) -> float:
    """The mean probability of the ideal recommendation once all relevant answers are in."""
    generator = np.random.default_rng(seed)
    examples = [
        recommendation_example(
            renderer, user.persona, mixed_attributes(generator, len(RELEVANT), 0)
        )
        for user in users
    ]
    labels = [renderer.word(strategy) for strategy in STRATEGIES]
    probabilities = label_distribution(network, examples, labels)
    return float(probabilities[np.arange(len(users)), [user.type_index for user in users]].mean())
