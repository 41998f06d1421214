"""How the pocket models are trained: which examples, how many, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from curio_ray.pocket.changing_examples import (
    changed_belief_example,
    changed_environment_example,
    changed_judgement_example,
    contradicted_belief_example,
    contradiction_example,
    stated_context_example,
)
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.network import build_network
from curio_ray.pocket.policy_examples import demonstration, mapping_lesson
from curio_ray.pocket.train import LONGEST_CONVERSATION, Curriculum, Lesson, Schedule, train
from curio_ray.pocket.world_examples import belief_example, environment_example, judgement_example
from curio_ray.tasks.exercise.rule import ATTRIBUTES

WORLD_SCHEDULE = Schedule(steps=900)
CHANGING_WORLD_SCHEDULE = Schedule(steps=400, learning_rate=1e-3, warmup_steps=20)
CONTRADICTION_SCHEDULE = Schedule(steps=800, learning_rate=1e-3, warmup_steps=20)
POLICY_SCHEDULE = Schedule(steps=500)


def train_world(
    tokenizer: PreTrainedTokenizerFast, seed: int, schedule: Schedule = WORLD_SCHEDULE
) -> LlamaForCausalLM:
    """The model of all three frozen roles: it answers, guesses the user's type and judges."""
    network, encoder = build_network(tokenizer, seed), DialogueEncoder(tokenizer)
    generator = np.random.default_rng((seed, 10))
    curriculum = Curriculum(encoder)

    def draw() -> Sequence[Lesson]:
        size, longest = curriculum.persona_size, curriculum.longest_conversation
        return [
            [environment_example(generator, encoder, size) for _ in range(16)],
            [belief_example(generator, encoder, longest) for _ in range(40)]
            + [belief_example(generator, encoder, longest, hears_policy=False) for _ in range(8)],
            [judgement_example(generator, encoder, longest) for _ in range(40)],
        ]

    train(network, schedule, draw, curriculum)
    return network


def train_changing_world(
    world: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    schedule: Schedule = CHANGING_WORLD_SCHEDULE,
    contradictions: Schedule = CONTRADICTION_SCHEDULE,
) -> LlamaForCausalLM:
    """Teach the trained world model, which is changed, that users change; returns it.

    First on changes of every kind, then mostly on answers that contradict earlier ones: these are
    rare in random conversations, and the hard part. A part of the lessons is the old ones, so that
    nothing is forgotten.
    """
    encoder, size, longest = DialogueEncoder(tokenizer), len(ATTRIBUTES), LONGEST_CONVERSATION
    generator = np.random.default_rng((seed, 12))

    def draw() -> Sequence[Lesson]:
        return [
            [changed_environment_example(generator, encoder) for _ in range(12)]
            + [environment_example(generator, encoder, size) for _ in range(4)],
            [changed_belief_example(generator, encoder) for _ in range(24)]
            + [belief_example(generator, encoder, longest) for _ in range(8)]
            + [changed_belief_example(generator, encoder, hears_policy=False) for _ in range(4)],
            [changed_judgement_example(generator, encoder) for _ in range(4)]
            + [judgement_example(generator, encoder, longest) for _ in range(4)],
        ]

    def draw_contradictions() -> Sequence[Lesson]:
        return [
            [contradiction_example(generator, encoder) for _ in range(14)]
            + [changed_environment_example(generator, encoder) for _ in range(2)]
            + [stated_context_example(generator, encoder) for _ in range(4)]
            + [environment_example(generator, encoder, size) for _ in range(2)],
            [contradicted_belief_example(generator, encoder) for _ in range(24)]
            + [changed_belief_example(generator, encoder) for _ in range(4)]
            + [belief_example(generator, encoder, longest) for _ in range(4)]
            + [
                contradicted_belief_example(generator, encoder, hears_policy=False)
                for _ in range(4)
            ],
            [judgement_example(generator, encoder, longest) for _ in range(4)],
        ]

    train(world, schedule, draw)
    train(world, contradictions, draw_contradictions)
    return world


def train_policy(
    tokenizer: PreTrainedTokenizerFast, seed: int, schedule: Schedule = POLICY_SCHEDULE
) -> LlamaForCausalLM:
    """The start of the policy: half demonstrations, half lessons in what answers imply."""
    network, encoder = build_network(tokenizer, seed + 1), DialogueEncoder(tokenizer)
    generator = np.random.default_rng((seed, 11))
    kinds = (partial(demonstration, generator), partial(mapping_lesson, generator))
    train(network, schedule, lambda: [[kind(encoder) for _ in range(24)] for kind in kinds])
    return network
