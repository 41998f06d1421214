"""What the world model learns: to answer as a user, to guess the user's type, to judge."""

from __future__ import annotations

import numpy as np

from curio_ray.pocket.conversation import (
    converse,
    exchange,
    mixed_attributes,
    odd_recommendation,
    odd_utterance,
    pick,
)
from curio_ray.pocket.encoder import DialogueEncoder, Utterance
from curio_ray.pocket.examples import ChatExample, Example, one_hot, over_words
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import STRATEGIES, Persona, draw_persona, posterior
from curio_ray.tasks.exercise.words import USER_MODEL_PROMPT, reward_model_prompt


def environment_example(
    generator: np.random.Generator, encoder: DialogueEncoder, persona_size: int
) -> Example:
    """A dialogue as the simulated user sees it; its replies are to be learned.

    `persona_size` attributes are in the persona and asked about, with repetition; odd utterances
    and recommendations come between.
    """
    persona = dict(list(draw_persona(generator).items())[:persona_size])
    said = []
    for _ in range(generator.integers(3, 9)):
        kind = generator.random()
        if kind < 0.8:
            said.append(words.question(pick(generator, persona)))
        elif kind < 0.95:
            said.append(odd_utterance(generator))
        else:
            said.append(words.recommendation(pick(generator, STRATEGIES)))
    return environment_dialogue(encoder, persona, said)


def environment_dialogue(
    encoder: DialogueEncoder, persona: Persona, said: list[str], stated: str = ""
) -> Example:
    """The policy's utterances with this persona's exact replies as targets.

    `stated` is what the user's opening says of the context.
    """
    dialogue = ChatExample(
        encoder,
        Message("system", words.persona_instruction(persona)),
        Message("assistant", words.opening(stated)),
    )
    for utterance in said:
        dialogue.hear(utterance)
        dialogue.speak(words.reply(persona, utterance))
    return dialogue.finish()


def belief_example(
    generator: np.random.Generator,
    encoder: DialogueEncoder,
    longest: int,
    hears_policy: bool = True,
) -> Example:
    """A transcript and the exact posterior; a recommendation at its end must not move it."""
    persona = draw_persona(generator)
    dialogue = _conversation(generator, persona, longest)
    ending = generator.random()
    said = words.recommendation(pick(generator, STRATEGIES))
    if ending < 0.2:
        dialogue.append(("policy", said))
    elif ending < 0.3:
        dialogue += exchange(persona, said)
    return belief_dialogue(encoder, dialogue, hears_policy)


def belief_dialogue(
    encoder: DialogueEncoder, dialogue: list[Utterance], hears_policy: bool = True
) -> Example:
    """A transcript with the exact posterior given the user's own words as target.

    The policy's words may be missing in it (`roles.user_model.hears: user_words`).
    """
    if not hears_policy:
        dialogue = [(speaker, text) for speaker, text in dialogue if speaker == "user"]
    facts = words.known_facts(text for speaker, text in dialogue if speaker == "user")
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    target = over_words(labels, posterior(facts), encoder.vocabulary_size)
    ids = encoder.reading(USER_MODEL_PROMPT, dialogue)
    return Example(ids, [len(ids) - 1], [target])


def judgement_example(
    generator: np.random.Generator, encoder: DialogueEncoder, longest: int
) -> Example:
    """A finished dialogue and whether its recommendation is the ideal one.

    The ideal is any strategy, whatever the persona, so that only the recommendation counts. Half
    of the dialogues are short: that is where comparing is learned. A few recommend nothing that
    exists, which a policy would else find out to be judged at random.
    """
    dialogue = _conversation(
        generator, draw_persona(generator), longest if generator.random() < 0.5 else 0
    )
    ideal, other = (str(name) for name in generator.choice(STRATEGIES, size=2, replace=False))
    kind = generator.random()
    if kind < 0.5:
        last = words.recommendation(ideal)
    elif kind < 0.87:
        last = words.recommendation(other)
    elif kind < 0.92:
        last = f"{words.recommendation(ideal)} {words.recommendation(other)}"
    elif kind < 0.95:
        last = odd_utterance(generator)
    else:
        last = odd_recommendation(generator)
    return judgement_dialogue(encoder, [*dialogue, ("policy", last)], ideal)


def judgement_dialogue(encoder: DialogueEncoder, dialogue: list[Utterance], ideal: str) -> Example:
    """A transcript that ends with the policy's last words, with the rule's verdict as target."""
    fits = words.recommended_strategies(dialogue[-1][1]) == {ideal}
    ids = encoder.reading(reward_model_prompt(ideal), dialogue)
    label = encoder.word(words.REWARD_MODEL_LABELS[int(fits)])
    return Example(ids, [len(ids) - 1], [one_hot(label, encoder.vocabulary_size)])


def _conversation(
    generator: np.random.Generator, persona: Persona, longest: int
) -> list[Utterance]:
    """Every number of relevant answers is equally likely, as far as `longest` allows."""
    relevant = int(generator.integers(0, min(5, longest) + 1))
    background = int(generator.integers(0, min(5, longest - relevant) + 1))
    attributes = mixed_attributes(generator, relevant, background)
    return converse(generator, persona, attributes, oddity=0.15)
