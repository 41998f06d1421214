"""What the policy's start can do, measured on held-out users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.pocket.conversation import mixed_attributes
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.examples import Batch
from curio_ray.pocket.network import label_distribution, target_logits
from curio_ray.pocket.policy_examples import recommendation_example
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT, STRATEGIES

QUESTIONS = 5
MAX_TOKENS = 12


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
    network: LlamaForCausalLM, encoder: DialogueEncoder, users: Sequence[User], seed: int
) -> PolicyFigures:
    """Hold one dialogue with each user; the users answer by rule."""
    dialogues = hold_dialogues(network, encoder, users, QUESTIONS, seed)
    success = [
        words.recommended_strategies(said[-1]) == {STRATEGIES[user.type_index]}
        for user, said in zip(users, dialogues, strict=True)
    ]
    asked = [words.asked_attribute(text) for said in dialogues for text in said]
    relevant = [attribute in RELEVANT for attribute in asked if attribute is not None]
    return PolicyFigures(
        success=float(np.mean(success)),
        relevant_questions=sum(relevant) / max(len(relevant), 1),
        success_when_told=success_when_told(network, encoder, users, seed),
    )


def success_when_told(
    network: LlamaForCausalLM, encoder: DialogueEncoder, users: Sequence[User], seed: int
) -> float:
    """The mean probability of the ideal recommendation once all relevant answers are in."""
    generator = np.random.default_rng(seed)
    examples = [
        recommendation_example(encoder, user.persona, mixed_attributes(generator, len(RELEVANT), 0))
        for user in users
    ]
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    probabilities = label_distribution(network, examples, labels)
    return float(probabilities[np.arange(len(users)), [user.type_index for user in users]].mean())


def hold_dialogues(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    questions: int,
    seed: int,
) -> list[list[str]]:
    """What the policy says to each user, turn by turn, sampled at temperature 1.

    A dialogue ends with a recommendation, or after `questions` + 1 turns.
    """
    generator = torch.Generator().manual_seed(seed)
    prompt = [
        Message("system", words.policy_instruction(questions)),
        Message("user", words.OPENING),
    ]
    contexts = [encoder.chat(prompt) for _ in users]
    said: list[list[str]] = [[] for _ in users]
    speaking = list(range(len(users)))
    for _ in range(questions + 1):
        opened = [[*contexts[index], *encoder.generation_prompt] for index in speaking]
        sampled = _sample_turns(network, encoder, opened, generator)
        for index, context, turn in zip(speaking, opened, sampled, strict=True):
            text = encoder.tokenizer.decode(turn, skip_special_tokens=True)
            said[index].append(text)
            reply = Message("user", words.reply(users[index].persona, text))
            contexts[index] = [*context, *turn, *encoder.message(reply)]
        speaking = [i for i in speaking if not words.recommended_strategies(said[i][-1])]
    return said


@torch.inference_mode()
def _sample_turns(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    contexts: Sequence[list[int]],
    generator: torch.Generator,
) -> list[list[int]]:
    """One turn after each context, each up to and including the end mark."""
    end = encoder.tokenizer.eos_token_id
    turns: list[list[int]] = [[] for _ in contexts]
    for _ in range(MAX_TOKENS):
        open_rows = [row for row, turn in enumerate(turns) if not turn or turn[-1] != end]
        if not open_rows:
            break
        grown = [[*contexts[row], *turns[row]] for row in open_rows]
        probabilities = _next_probabilities(network, grown)
        tokens = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
        for row, token in zip(open_rows, tokens.tolist(), strict=True):
            turns[row].append(token)
    return [turn if turn[-1] == end else [*turn, end] for turn in turns]


def _next_probabilities(network: LlamaForCausalLM, contexts: Sequence[list[int]]) -> torch.Tensor:
    """Distributions [contexts, vocabulary] over the next token."""
    length = max(len(context) for context in contexts)
    padded = [[*context, *[0] * (length - len(context))] for context in contexts]
    batch = Batch(
        torch.tensor(padded),
        torch.arange(len(contexts)),
        torch.tensor([len(context) - 1 for context in contexts]),
        torch.empty(0),
    )
    return target_logits(network, batch).softmax(-1)
