"""How much the next question depends on the last answer.

Two dialogues in which the policy asked the same question at the same turn are compared: how
likely do they go on with the same question if the user's answers were the same, and how likely
if they differed? Adaptivity is one less the ratio of the second chance to the first. It is 0
for a fixed or random list of questions and 1 where different answers never lead to the same
question, whether or not the policy also draws by chance.

For two answers it is one less Morisita's overlap of the two distributions of the next question.
Both chances are counted over pairs of different dialogues, so that each is unbiased however few
dialogues there are; the measure can therefore fall a little below 0.
Source of the overlap: M. Morisita, Memoirs of the Faculty of Science, Kyushu University E3 (1959).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from curio_ray.dialogue import Dialogue
from curio_ray.evaluation.intervals import Interval, bootstrap_interval
from curio_ray.tasks.base import Task


@dataclass(frozen=True, slots=True)
class FollowUps:
    """Every question that was answered and followed by another, as numbers.

    A context is a turn with the question's topic. An answer is counted within its context, and
    so is a following topic; a cell is a context with an answer and a following topic.
    `dialogue` and `cell` have one entry per follow-up; `X_of_Y` tells for each Y its X;
    `dialogues` is how many dialogues were searched.
    """

    dialogue: np.ndarray
    cell: np.ndarray
    answer_of_cell: np.ndarray
    following_of_cell: np.ndarray
    context_of_cell: np.ndarray
    context_of_answer: np.ndarray
    context_of_following: np.ndarray
    dialogues: int


def find_follow_ups(dialogues: Sequence[Dialogue], task: Task) -> FollowUps | None:
    """The follow-ups of a set of dialogues, or None where there are none.

    Questions and answers are told apart by `Task.question_topic` and `Task.answer_label`.
    """
    owners: list[int] = []
    found: list[tuple[tuple[int, str], str, str]] = []
    for owner, dialogue in enumerate(dialogues):
        for index in range(0, len(dialogue.turns) - 2, 2):
            asked, answered, following = dialogue.turns[index : index + 3]
            topic, next_topic = task.question_topic(asked.text), task.question_topic(following.text)
            answer = task.answer_label(answered.text)
            if topic is None or answer is None or next_topic is None:
                continue
            owners.append(owner)
            found.append(((index // 2, topic), answer, next_topic))
    if not found:
        return None
    return _index(owners, found, len(dialogues))


def adaptivity(follow_ups: FollowUps, weights: np.ndarray | None = None) -> float:
    """One less the ratio of the two chances; NaN where there are no pairs to compare.

    Args:
        follow_ups: those of a set of dialogues.
        weights: how often each dialogue counts [dialogues]; once each by default. A dialogue is
            never paired with itself.
    """
    if weights is None:
        weights = np.ones(follow_ups.dialogues)
    each = weights[follow_ups.dialogue].astype(float)
    in_cell = np.bincount(follow_ups.cell, each)
    squares = np.bincount(follow_ups.cell, each * each)
    answered = np.bincount(follow_ups.answer_of_cell, in_cell)
    pairs = answered**2 - np.bincount(follow_ups.answer_of_cell, squares)
    agreeing = np.bincount(follow_ups.answer_of_cell, in_cell**2 - squares)
    # an answer that only one dialogue got has no pairs, and nothing is compared with it
    kept = pairs > 0
    after_same = np.divide(agreeing, pairs, out=np.zeros_like(pairs), where=kept)
    return _one_less_ratio(follow_ups, in_cell, np.where(kept, answered, 0.0), after_same)


def adaptivity_interval(follow_ups: FollowUps, seed: int) -> Interval | None:
    """The bootstrap interval over dialogues."""
    return bootstrap_interval(
        lambda weights: adaptivity(follow_ups, weights), follow_ups.dialogues, seed
    )


def _one_less_ratio(
    follow_ups: FollowUps, in_cell: np.ndarray, answered: np.ndarray, after_same: np.ndarray
) -> float:
    """From the counts of each answer [answers] and the chance after the same answer [answers].

    Within a context every pair of different answers counts by its pairs of dialogues; contexts
    count by their follow-ups.
    """
    context = follow_ups.context_of_answer
    total = np.bincount(context, answered)
    pairs = total**2 - np.bincount(context, answered**2)
    after_same = np.bincount(context, answered * (total[context] - answered) * after_same)
    cells = in_cell * (answered[follow_ups.answer_of_cell] > 0)
    following = np.bincount(follow_ups.following_of_cell, cells)
    after_other = np.bincount(follow_ups.context_of_following, following**2) - np.bincount(
        follow_ups.context_of_cell, cells**2
    )
    usable = pairs > 0
    share = total[usable] / pairs[usable]
    same, other = float(share @ after_same[usable]), float(share @ after_other[usable])
    return 1 - other / same if same > 0 else float("nan")


def _index(
    owners: list[int], found: list[tuple[tuple[int, str], str, str]], dialogues: int
) -> FollowUps:
    context = _number([context for context, _, _ in found])
    answer = _number([(context, answer) for context, answer, _ in found])
    following = _number([(context, topic) for context, _, topic in found])
    cell = _number(found)
    first_of_cell, first_of_answer, first_of_following = (
        np.unique(numbers, return_index=True)[1] for numbers in (cell, answer, following)
    )
    return FollowUps(
        dialogue=np.array(owners),
        cell=cell,
        answer_of_cell=answer[first_of_cell],
        following_of_cell=following[first_of_cell],
        context_of_cell=context[first_of_cell],
        context_of_answer=context[first_of_answer],
        context_of_following=context[first_of_following],
        dialogues=dialogues,
    )


def _number(keys: Sequence[Hashable]) -> np.ndarray:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])
