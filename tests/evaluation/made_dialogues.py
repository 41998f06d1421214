"""Finished dialogues made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.dialogue import Dialogue, Turn, User


def made(
    beliefs: Sequence[Sequence[float]] = ((0.5, 0.5), (0.5, 0.5)),
    *,
    true_type: int = 0,
    success: bool = False,
    tokens: Sequence[int] | None = None,
    policy: Sequence[str] | None = None,
    user: Sequence[str] | None = None,
    persona: dict[str, str] | None = None,
) -> Dialogue:
    """A dialogue that ends with the policy's turn.

    `beliefs` are the one before the first turn and the one after each reply; the texts and
    token counts have one entry per turn of their speaker.
    """
    replies = len(beliefs) - 1
    policy = policy or ["your sleep ?"] * (replies + 1)
    user = user or ["sleep good ."] * replies
    tokens = tokens or [3] * (replies + 1)
    turns: list[Turn] = []
    for index, (text, count) in enumerate(zip(policy, tokens, strict=True)):
        turns.append(Turn("policy", text, [1] * count, [0.0] * count, [0] * count))
        if index < replies:
            turns.append(Turn("user", user[index], [1], belief=np.array(beliefs[index + 1])))
    person = User("someone", true_type, persona or {})
    return Dialogue("made", person, [1], turns, np.array(beliefs[0]), success)


def asked(questions: Sequence[str], answers: Sequence[str]) -> Dialogue:
    """A dialogue of questions about attributes, each but the last answered "attribute value"."""
    return made(
        [[0.5, 0.5]] * len(questions),
        policy=[f"your {attribute} ?" for attribute in questions],
        user=[f"{question} {value} ." for question, value in zip(questions, answers, strict=False)],
    )
