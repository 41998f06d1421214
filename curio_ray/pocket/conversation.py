"""Random conversations of the pocket world, sensible and odd, with exact replies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from curio_ray.pocket.encoder import Utterance
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, BACKGROUND, RELEVANT, STRATEGIES, Persona

_VALUES = [value for pair in ATTRIBUTES.values() for value in pair]
_ANYTHING = sorted(
    {word for talk in words.SMALL_TALK for word in talk.split()}
    | {"your", "i", "recommend", "the", "no", "yes", "ideal", "it", "does", "fit"}
    | {*ATTRIBUTES, *_VALUES, *STRATEGIES}
)


def pick(generator: np.random.Generator, choices: Iterable[str]) -> str:
    """One of the choices, all equally likely."""
    options = list(choices)
    return options[generator.integers(len(options))]


def odd_utterance(generator: np.random.Generator) -> str:
    """Something that a well-behaved policy would not say, from small talk to word salad."""
    attribute, strategy = pick(generator, ATTRIBUTES), pick(generator, STRATEGIES)
    value = pick(generator, ATTRIBUTES[attribute])
    salad = [pick(generator, _ANYTHING) for _ in range(generator.integers(0, 12))]
    return pick(
        generator,
        [
            pick(generator, words.SMALL_TALK),
            " ".join(salad),
            f"your {attribute} {value} ?",
            words.answer(attribute, value),
            f"your {attribute} your {pick(generator, ATTRIBUTES)} ?",
            f"your {strategy} ?",
            f"{strategy} fits you .",
            f"your {value} ?",
            f"i recommend {attribute} .",
        ],
    )


def odd_recommendation(generator: np.random.Generator) -> str:
    """A recommendation of one to three words of any kind."""
    salad = [pick(generator, _ANYTHING) for _ in range(generator.integers(1, 4))]
    return words.recommendation(" ".join(salad))


def converse(
    generator: np.random.Generator, persona: Persona, attributes: Iterable[str], oddity: float
) -> list[Utterance]:
    """A dialogue that asks about the attributes in turn, from the user's opening on.

    With probability `oddity` something odd is said, or a question repeated, before a question.
    """
    dialogue: list[Utterance] = [("user", words.OPENING)]
    asked: list[str] = []
    for attribute in attributes:
        if generator.random() < oddity:
            repeat = asked and generator.random() < 0.3
            said = words.question(pick(generator, asked)) if repeat else odd_utterance(generator)
            dialogue += exchange(persona, said)
        asked.append(attribute)
        dialogue += exchange(persona, words.question(attribute))
    return dialogue


def exchange(persona: Persona, said: str) -> list[Utterance]:
    """What the policy says and what the user replies."""
    return [("policy", said), ("user", words.reply(persona, said))]


def mixed_attributes(generator: np.random.Generator, relevant: int, background: int) -> list[str]:
    """So many different relevant and background attributes, in random order."""
    chosen = [
        *generator.choice(list(RELEVANT), size=relevant, replace=False),
        *generator.choice(list(BACKGROUND), size=background, replace=False),
    ]
    return [str(name) for name in generator.permutation(chosen)]
