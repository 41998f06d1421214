"""Dialogues between a pocket policy and users who answer by rule."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.pocket.encoding import Renderer
from curio_ray.pocket.examples import Batch
from curio_ray.pocket.train import target_logits
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words

MAX_TOKENS = 12


def hold_dialogues(
    network: LlamaForCausalLM,
    renderer: Renderer,
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
    contexts = [renderer.chat(prompt) for _ in users]
    said: list[list[str]] = [[] for _ in users]
    speaking = list(range(len(users)))
    for _ in range(questions + 1):
        opened = [[*contexts[index], *renderer.generation_prompt] for index in speaking]
        sampled = _sample_turns(network, renderer, opened, generator)
        for index, context, turn in zip(speaking, opened, sampled, strict=True):
            text = renderer.tokenizer.decode(turn, skip_special_tokens=True)
            said[index].append(text)
            reply = Message("user", words.reply(users[index].persona, text))
            contexts[index] = [*context, *turn, *renderer.message(reply)]
        speaking = [i for i in speaking if not words.recommended_strategies(said[i][-1])]
    return said


@torch.inference_mode()
def _sample_turns(
    network: LlamaForCausalLM,
    renderer: Renderer,
    contexts: Sequence[list[int]],
    generator: torch.Generator,
) -> list[list[int]]:
    """One turn after each context, each up to and including the end mark."""
    end = renderer.tokenizer.eos_token_id
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
