"""How faithful a world model is to users who change, measured on held-out users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import LlamaForCausalLM

from curio_ray.dialogue import User
from curio_ray.pocket.changing_examples import changed_dialogue
from curio_ray.pocket.conversation import converse, mixed_attributes
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.network import exact_reply_share, label_distribution
from curio_ray.pocket.world_examples import belief_dialogue, environment_dialogue
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT, STRATEGIES, Persona
from curio_ray.tasks.exercise.users import other_value, with_strategy


@dataclass(frozen=True, slots=True)
class ChangingFigures:
    """How users fare who become a persona with another ideal strategy.

    `stated_answers` is the share of replies true to the persona before a stated context changes.
    `true_answers` is the share of replies that are the new persona's, to questions that the
    former one had answered otherwise; `announced_answers` the same where the change was stated.
    `belief_distance` is the mean total variation of the belief from the posterior of the latest
    answers, where an answer contradicts an earlier one.
    """

    stated_answers: float
    true_answers: float
    announced_answers: float
    belief_distance: float


def evaluate_changing_world(
    network: LlamaForCausalLM, encoder: DialogueEncoder, users: Sequence[User], seed: int
) -> ChangingFigures:
    """Measure the simulated user and the user model."""
    generator = np.random.default_rng(seed)
    return ChangingFigures(
        stated_answer_share(network, encoder, users, generator),
        changed_answer_share(network, encoder, users, generator, announced=False),
        changed_answer_share(network, encoder, users, generator, announced=True),
        changed_belief_distance(network, encoder, users, generator),
    )


def stated_answer_share(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> float:
    """The share of true replies, word for word, after an opening that states the context."""
    examples = []
    for user in users:
        context = words.CONTEXTS[generator.integers(2)]
        said = [words.question(name) for name in mixed_attributes(generator, 3, 2)]
        stated = words.answer(context, user.persona[context])
        examples.append(environment_dialogue(encoder, user.persona, said, stated))
    return exact_reply_share(network, examples, encoder.end)


def changed_answer_share(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
    announced: bool,
) -> float:
    """The share of the changed users' own replies, word for word, decoded greedily.

    Four relevant attributes are asked about before the change and again, mixed, after it.
    """
    examples = []
    for user in users:
        before, now = _before_and_now(generator, user)
        asked = mixed_attributes(generator, 4, 0)
        again = [str(name) for name in generator.permutation(asked)]
        context = words.CONTEXTS[generator.integers(2)] if announced else None
        if context is not None:
            now = {**now, context: other_value(context, before[context])}
        said = [words.question(name) for name in (*asked, *again)]
        examples.append(changed_dialogue(encoder, before, now, said, len(asked), context))
    return exact_reply_share(network, examples, encoder.end)


def changed_belief_distance(
    network: LlamaForCausalLM,
    encoder: DialogueEncoder,
    users: Sequence[User],
    generator: np.random.Generator,
) -> float:
    """Mean total variation of the belief from the posterior of the latest answers.

    Two to four relevant attributes are asked about before the change, and one to four that
    begin with one whose answer is another now.
    """
    examples = []
    for user in users:
        before, now = _before_and_now(generator, user)
        differing = [name for name in RELEVANT if before[name] != now[name]]
        first = str(generator.choice(differing))
        others = [str(name) for name in generator.permutation(list(RELEVANT)) if name != first]
        asked = [first, *others[: generator.integers(1, 4)]]
        again = [first, *[str(name) for name in generator.permutation(others)]]
        past = converse(generator, before, generator.permutation(asked).tolist(), oddity=0)
        _, *later = converse(generator, now, again[: generator.integers(1, 5)], oddity=0)
        examples.append(belief_dialogue(encoder, [*past, *later]))
    labels = [encoder.word(strategy) for strategy in STRATEGIES]
    belief = label_distribution(network, examples, labels)
    exact = np.stack([example.targets[0][labels] for example in examples])
    return float(np.abs(belief - exact).sum(1).mean() / 2)


def _before_and_now(generator: np.random.Generator, user: User) -> tuple[Persona, Persona]:
    others = [index for index in range(len(STRATEGIES)) if index != user.type_index]
    now = with_strategy(generator, user.persona, STRATEGIES[generator.choice(others)])
    return user.persona, now
