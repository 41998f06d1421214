"""What the policy starts from: random questions, and what full or partial answers imply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.pocket.conversation import mixed_attributes
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.examples import ChatExample, Example
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import (
    ATTRIBUTES,
    RELEVANT,
    STRATEGIES,
    Persona,
    best_guesses,
    draw_persona,
)


def demonstration(generator: np.random.Generator, encoder: DialogueEncoder) -> Example:
    """A dialogue that asks at random, without repetition, and recommends the best guess."""
    questions = _number_of_questions(generator)
    attributes = generator.permutation(list(ATTRIBUTES))[:questions]
    names = [str(name) for name in attributes]
    return _dialogue(encoder, draw_persona(generator), names, learn_asking=True)


def mapping_lesson(generator: np.random.Generator, encoder: DialogueEncoder) -> Example:
    """A dialogue with every level of knowledge equally likely, to learn the recommendation only.

    Demonstrations rarely hold many relevant answers. Without these lessons the start never
    learns what full answers imply; with loss on the questions it would learn what to ask.
    """
    questions = _number_of_questions(generator)
    relevant = int(generator.integers(0, min(questions, len(RELEVANT)) + 1))
    attributes = mixed_attributes(generator, relevant, questions - relevant)
    return _dialogue(encoder, draw_persona(generator), attributes, learn_asking=False)


def recommendation_example(
    encoder: DialogueEncoder, persona: Persona, attributes: Sequence[str]
) -> Example:
    """A dialogue that asks for these attributes; its one target is the strategy recommended."""
    example = _dialogue(encoder, persona, attributes, learn_asking=False)
    place = words.recommendation(STRATEGIES[0]).split().index(STRATEGIES[0])
    return Example(example.token_ids, [example.positions[place]], [example.targets[place]])


def _number_of_questions(generator: np.random.Generator) -> int:
    """Five, as in the packaged config, half of the time."""
    return 5 if generator.random() < 0.5 else int(generator.integers(1, words.MAX_QUESTIONS + 1))


def _dialogue(
    encoder: DialogueEncoder, persona: Persona, attributes: Sequence[str], learn_asking: bool
) -> Example:
    dialogue = ChatExample(
        encoder,
        Message("system", words.policy_instruction(len(attributes))),
        Message("user", words.OPENING),
    )
    for attribute in attributes:
        question = words.question(attribute)
        dialogue.speak(question, learned=learn_asking)
        dialogue.hear(words.reply(persona, question))
    guesses = best_guesses({attribute: persona[attribute] for attribute in attributes})
    choices = [STRATEGIES[guess] for guess in guesses]
    dialogue.speak(words.recommendation(choices[0]), alternatives=choices)
    return dialogue.finish()
