"""The users of the exercise task, and how they change within a dialogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from curio_ray.dialogue import Change, User
from curio_ray.tasks.base import Split
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import (
    ATTRIBUTES,
    RELEVANT,
    RULE,
    STRATEGIES,
    Persona,
    draw_persona,
    ideal_strategy,
)

Changes = Literal["none", "switch", "context"]


def draw_users(
    split: Split, count: int, seed: tuple[int, int], taken: set[tuple[str, ...]]
) -> tuple[User, ...]:
    """Users with types in turn and personas that are neither `taken` nor drawn twice."""
    generator = np.random.default_rng(seed)
    seen = set(taken)
    users: list[User] = []
    while len(users) < count:
        type_index = len(users) % len(STRATEGIES)
        persona = draw_persona(generator)
        if STRATEGIES.index(ideal_strategy(persona)) != type_index or persona_key(persona) in seen:
            continue
        seen.add(persona_key(persona))
        users.append(User(f"{split}-{len(users):05d}", type_index, persona))
    return tuple(users)


def persona_key(persona: Mapping[str, str]) -> tuple[str, ...]:
    """The values of all attributes: alike for personas that are the same."""
    return tuple(persona[attribute] for attribute in ATTRIBUTES)


def with_changes(
    users: tuple[User, ...], changes: Changes, after: tuple[int, int], seed: tuple[int, int]
) -> tuple[User, ...]:
    """The same users, each of whom changes once, to another type.

    The new types are as evenly spread as the old ones: every ordered pair of types is equally
    frequent in any 56 users in a row. All five relevant attributes are drawn anew among the
    personas of the new type; background attributes stay, but for a stated context.

    Args:
        users: as `draw_users` gives them.
        changes: `switch` is silent; with `context` the user states a background attribute's
            value in the opening, and the other value where the change happens.
        after: the first and the last exchange after which the change may happen.
        seed: of the moments, the new personas and the contexts.
    """
    if changes == "none":
        return users
    generator = np.random.default_rng(seed)
    changed = []
    for number, user in enumerate(users):
        shift = 1 + number // len(STRATEGIES) % (len(STRATEGIES) - 1)
        type_index = (user.type_index + shift) % len(STRATEGIES)
        moment = int(generator.integers(after[0], after[1] + 1))
        persona = dict(with_strategy(generator, user.persona, STRATEGIES[type_index]))
        announcement = ""
        if changes == "context":
            context = words.CONTEXTS[generator.integers(len(words.CONTEXTS))]
            persona[context] = other_value(context, persona[context])
            announcement = words.answer(context, persona[context])
        change = Change(moment, type_index, persona, announcement)
        changed.append(User(user.id, user.type_index, user.persona, (change,)))
    return tuple(changed)


def stated_context(user: User) -> str:
    """What the user's opening says of the context, which a later change announces anew."""
    announced = words.known_facts(change.announcement for change in user.changes)
    return " ".join(words.answer(context, user.persona[context]) for context in announced)


def with_strategy(generator: np.random.Generator, persona: Persona, strategy: str) -> Persona:
    """The persona with relevant attributes drawn anew among those whose ideal is `strategy`.

    Background attributes and the order of all attributes stay. Relevant attributes that the
    rule of `strategy` does not name get fair random values.
    """
    drawn = {name: ATTRIBUTES[name][generator.integers(2)] for name in RELEVANT}
    return {**persona, **drawn, **RULE[strategy]}


def other_value(attribute: str, value: str) -> str:
    """The attribute's second value."""
    first, second = ATTRIBUTES[attribute]
    return second if value == first else first
