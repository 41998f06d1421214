"""Listening gain: what it is worth that the policy's questions depend on this user's answers.

How well a user is known after the questions that the policy asked them, less how well they would be
known after the questions that the same policy asked others. All questions of a dialogue count, and
so all answers so far. It is 0 for a fixed list of questions, and in expectation for a random one.
With three questions in the exercise task it is 0.375 for the best policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curio_ray.dialogue import Dialogue, User
from curio_ray.evaluation.intervals import Interval, bootstrap_interval
from curio_ray.tasks.base import Task

MOST_OTHERS = 256
"""Of how many dialogues at most the questions are put to every user."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """How well users are known after whose questions.

    `own` [users] is the probability of the true type after the user's own dialogue, `others`
    [users, dialogues] that after the questions of each of the first dialogues. `others[i, i]` is of
    a user's own dialogue, which is never compared with itself.
    """

    own: np.ndarray
    others: np.ndarray


def find_knowledge(dialogues: Sequence[Dialogue], task: Task) -> Knowledge | None:
    """By the task's exact belief; None where it has none, or there is nobody to compare with."""
    lists = [_answered(each) for each in dialogues]
    if len(dialogues) < 2 or task.exact_belief(dialogues[0].user, lists[0]) is None:
        return None
    users, others = [each.user for each in dialogues], lists[:MOST_OTHERS]
    return Knowledge(
        own=np.array([_known(*each, task) for each in zip(users, lists, strict=True)]),
        others=np.array([[_known(user, asked, task) for asked in others] for user in users]),
    )


def listening_gain(knowledge: Knowledge, weights: np.ndarray | None = None) -> float:
    """The gain; NaN where nobody can be compared with another.

    Args:
        knowledge: of a set of dialogues.
        weights: how often each dialogue counts [dialogues]; once each by default. A dialogue is
            never paired with itself.
    """
    count, columns = knowledge.others.shape
    each = np.ones(count) if weights is None else weights.astype(float)
    pairs = np.outer(each, each[:columns])
    np.fill_diagonal(pairs, 0)
    if not pairs.sum():
        return float("nan")
    own = float(each @ knowledge.own) / float(each.sum())
    return own - float((pairs * knowledge.others).sum() / pairs.sum())


def listening_interval(knowledge: Knowledge, seed: int) -> Interval | None:
    """The bootstrap interval over dialogues."""
    return bootstrap_interval(
        lambda weights: listening_gain(knowledge, weights), len(knowledge.own), seed
    )


def _answered(dialogue: Dialogue) -> tuple[str, ...]:
    """The policy's words that the user replied to."""
    return tuple(turn.text for turn in dialogue.turns[0 : len(dialogue.turns) - 1 : 2])


def _known(user: User, questions: Sequence[str], task: Task) -> float:
    """The probability of who the user is after answering the questions."""
    belief = task.exact_belief(user, questions)
    assert belief is not None, "a task has an exact belief for every user or for none"
    return float(belief[user.at(len(questions)).type_index])
