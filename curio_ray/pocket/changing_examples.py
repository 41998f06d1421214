"""What the world model learns of users who change: the persona of now, the latest answer."""

from __future__ import annotations

import numpy as np

from curio_ray.pocket.conversation import converse, mixed_attributes, odd_utterance, pick
from curio_ray.pocket.encoder import DialogueEncoder, Utterance
from curio_ray.pocket.examples import ChatExample, Example
from curio_ray.pocket.world_examples import (
    belief_dialogue,
    environment_dialogue,
    judgement_dialogue,
)
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, RELEVANT, STRATEGIES, Persona, draw_persona
from curio_ray.tasks.exercise.users import other_value

_CONTEXT_SHARE = 0.3
_MOST_EXCHANGES = 9


def changed_environment_example(
    generator: np.random.Generator, encoder: DialogueEncoder
) -> Example:
    """A dialogue that another persona began: the persona of the prompt is right from now on.

    The replies after the change are to be learned. Half of the questions then are ones that the
    former persona was asked, too.
    """
    now = draw_persona(generator)
    before = _altered(generator, now)
    context = pick(generator, words.CONTEXTS) if generator.random() < _CONTEXT_SHARE else None
    if context is not None:
        before = {**before, context: other_value(context, now[context])}
    exchanges = int(generator.integers(1, _MOST_EXCHANGES + 1))
    past = int(generator.integers(0, exchanges))
    said = [_said(generator, []) for _ in range(past)]
    said += [_said(generator, said) for _ in range(exchanges - past)]
    return changed_dialogue(encoder, before, now, said, past, context)


def stated_context_example(generator: np.random.Generator, encoder: DialogueEncoder) -> Example:
    """A dialogue whose opening states the context, before anything changes."""
    persona = draw_persona(generator)
    context = pick(generator, words.CONTEXTS)
    said = [_said(generator, []) for _ in range(generator.integers(1, _MOST_EXCHANGES))]
    stated = words.answer(context, persona[context])
    return environment_dialogue(encoder, persona, said, stated)


def contradiction_example(generator: np.random.Generator, encoder: DialogueEncoder) -> Example:
    """A dialogue in which the new persona is asked again what the former one had answered.

    Half of the answers are other ones now, so that neither repeating the history nor denying it
    is right.
    """
    now = draw_persona(generator)
    before = _altered(generator, now, chance=0.5)
    context = pick(generator, words.CONTEXTS) if generator.random() < _CONTEXT_SHARE else None
    asked = mixed_attributes(generator, int(generator.integers(5)), int(generator.integers(1, 3)))
    again = [str(name) for name in generator.permutation(asked)]
    said = [words.question(name) for name in (*asked, *again)]
    return changed_dialogue(encoder, before, now, said, len(asked), context)


def changed_dialogue(
    encoder: DialogueEncoder,
    before: Persona,
    now: Persona,
    said: list[str],
    past: int,
    context: str | None = None,
) -> Example:
    """The policy's utterances, the first `past` of them answered by the persona `before`.

    The targets are the exact replies of the persona `now`. A stated context is told in the
    opening, and again, before the reply, where it changes.
    """
    stated = "" if context is None else words.answer(context, before[context])
    changed = "" if context is None else words.answer(context, now[context])
    dialogue = ChatExample(
        encoder,
        Message("system", words.persona_instruction(now)),
        Message("assistant", words.opening(stated)),
    )
    for number, utterance in enumerate(said):
        dialogue.hear(utterance)
        if number < past:
            dialogue.speak(words.reply(before, utterance), learned=False)
        else:
            given = changed if number == past else ""
            dialogue.speak(words.reply(now, utterance), given=given)
    return dialogue.finish()


def changed_belief_example(
    generator: np.random.Generator,
    encoder: DialogueEncoder,
    relevant: int | None = None,
    hears_policy: bool = True,
) -> Example:
    """A transcript in which the user changed, and the posterior of the latest answers.

    `relevant` is how many relevant attributes are asked about after the change; 0 to 5 by default.
    """
    if relevant is None:
        relevant = int(generator.integers(0, 6))
    return belief_dialogue(encoder, _changed_transcript(generator, relevant), hears_policy)


def contradicted_belief_example(
    generator: np.random.Generator, encoder: DialogueEncoder, hears_policy: bool = True
) -> Example:
    """A transcript whose later answers contradict earlier ones, and the latest ones' posterior."""
    before = draw_persona(generator)
    now = _altered(generator, before, chance=0.5)
    order = [str(name) for name in generator.permutation(list(RELEVANT))]
    asked = order[: generator.integers(1, len(order) + 1)]
    again = [str(name) for name in generator.permutation(asked)]
    new = order[len(asked) :][: generator.integers(0, 3)]
    later = [*again[: generator.integers(1, len(again) + 1)], *new]
    past = converse(generator, before, asked, oddity=0.1)
    _, *rest = converse(generator, now, generator.permutation(later).tolist(), oddity=0.1)
    return belief_dialogue(encoder, [*past, *rest], hears_policy)


def changed_judgement_example(generator: np.random.Generator, encoder: DialogueEncoder) -> Example:
    """A finished dialogue with a user who changed; half of its recommendations are the ideal."""
    dialogue = _changed_transcript(generator, int(generator.integers(0, 6)))
    ideal, other = (str(name) for name in generator.choice(STRATEGIES, size=2, replace=False))
    last = words.recommendation(ideal if generator.random() < 0.5 else other)
    return judgement_dialogue(encoder, [*dialogue, ("policy", last)], ideal)


def _changed_transcript(generator: np.random.Generator, relevant: int) -> list[Utterance]:
    """Up to five questions before the change and up to seven after it."""
    before = draw_persona(generator)
    now = _altered(generator, before)
    first = mixed_attributes(generator, int(generator.integers(0, 5)), int(generator.integers(2)))
    second = mixed_attributes(generator, relevant, int(generator.integers(3)))
    past = converse(generator, before, first, oddity=0.1)
    _, *later = converse(generator, now, second, oddity=0.1)
    if generator.random() >= _CONTEXT_SHARE:
        return [*past, *later]
    context = pick(generator, words.CONTEXTS)
    former = ATTRIBUTES[context][generator.integers(2)]
    past[0] = ("user", words.opening(words.answer(context, former)))
    if later:
        stated = words.answer(context, other_value(context, former))
        later[1] = ("user", f"{stated} {later[1][1]}")
    return [*past, *later]


def _altered(
    generator: np.random.Generator, persona: Persona, chance: float | None = None
) -> dict[str, str]:
    """The persona with each attribute's value exchanged at a chance, by default a random one."""
    if chance is None:
        chance = generator.random()
    return {
        name: other_value(name, value) if generator.random() < chance else value
        for name, value in persona.items()
    }


def _said(generator: np.random.Generator, asked: list[str]) -> str:
    kind = generator.random()
    if asked and kind < 0.5:
        return pick(generator, asked)
    if kind < 0.92:
        return words.question(pick(generator, ATTRIBUTES))
    if kind < 0.97:
        return odd_utterance(generator)
    return words.recommendation(pick(generator, STRATEGIES))
