"""Recorded lessons as demonstrations, and which of two lessons suits its student better."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from curio_ray.dialogue import User
from curio_ray.tasks.base import Demonstration
from curio_ray.tasks.education.data import RecordedConversation
from curio_ray.tasks.education.text import END_MARKER

PARTNERS = 4

_ADAPTS = "adapt to the student"


def demonstration(recorded: RecordedConversation, user: User, max_turns: int) -> Demonstration:
    """The lesson as the task would hold it with this user: at most `max_turns` teacher turns.

    The dataset lets either side write the end marker. In the task the teacher ends the lesson, so
    the marker is the teacher's: behind the last words, or as a last turn after the student's.
    """
    utterances = [turn.text for turn in recorded.turns]
    if recorded.ended and len(utterances) % 2:
        utterances[-1] = f"{utterances[-1]} {END_MARKER}"
    elif recorded.ended:
        utterances.append(END_MARKER)
    return Demonstration(user, tuple(utterances[: 2 * max_turns - 1]))


def suits_the_student(recorded: RecordedConversation) -> bool:
    """Whether the teacher prefers the student's style, or is one who adapts to the student."""
    return recorded.teacher_style == recorded.student_style or _ADAPTS in recorded.teacher_reaction


def lesson_pairs(conversations: Sequence[RecordedConversation]) -> list[tuple[int, int]]:
    """Pairs of indices (suits, does not suit) of lessons with students of one style.

    Each lesson that suits meets up to `PARTNERS` others, those on its own topic first; partners
    rotate, so that the others are met about equally often.
    """
    fits = [index for index, each in enumerate(conversations) if suits_the_student(each)]
    return list(chain.from_iterable(_partners(conversations, better) for better in fits))


def _partners(conversations: Sequence[RecordedConversation], better: int) -> list[tuple[int, int]]:
    topic, style = conversations[better].topic, conversations[better].student_style
    count = len(conversations)
    rotated = [(better + step) % count for step in range(1, count)]
    others = [
        index
        for index in rotated
        if conversations[index].student_style == style
        and not suits_the_student(conversations[index])
    ]
    others.sort(key=lambda index: conversations[index].topic != topic)
    return [(better, worse) for worse in others[:PARTNERS]]
