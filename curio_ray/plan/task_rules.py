"""What must hold of a task's users and prompts: each function gives what is wrong with one."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curio_ray.dialogue import Change, Turn, User
from curio_ray.tasks.base import ComparisonPrompt, Message, PolicyAnswer, ReadingPrompt

_SPEAKERS = ("system", "user", "assistant")


def text_problem(what: str, value: Any) -> str | None:
    """What keeps a value from being words that a model can read and a file can hold, or None."""
    if not isinstance(value, str):
        return f"{what} is {_kind(value)}; give text"
    if not value.strip():
        return f"{what} is empty; give words"
    return _unwritable(what, value)


def sample_turns() -> list[Turn]:
    """A dialogue of one turn, for a task to judge."""
    return [Turn("policy", "Hello.", [0], [0.0], [0])]


def user_problems(user: Any, types: int) -> Iterator[tuple[str, str]]:
    """The fields of a user that break a rule, each with what to write.

    Args:
        user: what the task gives as a user.
        types: how many user types there are.
    """
    if not isinstance(user, User):
        yield "class", f"is {_kind(user)}; give curio_ray.dialogue.User"
        return
    if problem := text_problem("id", user.id):
        yield "id", problem
    yield from _person_problems(user, types, "")
    if not isinstance(user.changes, Sequence):
        yield "changes", f"changes is {_kind(user.changes)}; give a tuple of Change"
        return
    after = 0
    for number, change in enumerate(user.changes):
        if not isinstance(change, Change):
            yield "changes", f"changes[{number}] is {_kind(change)}; give curio_ray.dialogue.Change"
            return
        place = f"changes[{number}]."
        yield from _person_problems(change, types, place)
        if not isinstance(change.announcement, str):
            kind = _kind(change.announcement)
            yield f"{place}announcement", f"{place}announcement is {kind}; give text"
        if change.after <= after:
            yield "changes", f"{place}after is {change.after}; give changes in the order of time"
        after = change.after


def chat_problems(chat: Any, opening: Any) -> Iterator[str]:
    """What is wrong with the chat up to the policy's first turn."""
    if isinstance(chat, str | Mapping) or not isinstance(chat, Sequence):
        yield f"is {_kind(chat)}; give a list of Message"
        return
    if not chat:
        yield "is empty; end it with Message('user', opening(user))"
        return
    for number, message in enumerate(chat):
        if not isinstance(message, Message):
            yield f"has {_kind(message)} at {number}; give curio_ray.tasks.base.Message"
            return
        if message.role not in _SPEAKERS:
            yield f"has the role {message.role!r}; write one of: {', '.join(_SPEAKERS)}"
        if problem := text_problem(f"has a message whose content at {number}", message.content):
            yield problem
        if message.role == "system" and number:
            yield f"has a system message at {number}; put it first, and only one"
    if chat[-1].role != "user":
        yield f"ends with the role '{chat[-1].role}'; end it with Message('user', opening(user))"
    elif isinstance(opening, str) and chat[-1].content != opening:
        yield f"ends with {chat[-1].content[:40]!r}; end it with opening(user): {opening[:40]!r}"


def reading_problems(prompt: Any, labels: int, exactly: bool = False) -> Iterator[str]:
    """What is wrong with how a model reads a transcript.

    Args:
        prompt: what the task gives.
        labels: how many labels there must be.
        exactly: no more than so many: one for each user type.
    """
    wanted = f"{labels}, one for each of user_types" if exactly else f"{labels} or more"
    yield from _question_problems(prompt, ReadingPrompt, labels, exactly, wanted)


def comparison_problems(prompt: Any) -> Iterator[str]:
    """What is wrong with how a judge compares two dialogues."""
    yield from _question_problems(prompt, ComparisonPrompt, 2, True, "2, one for each dialogue")


def answer_problems(answer: Any, types: int) -> Iterator[str]:
    """What is wrong with how the policy names the user's type."""
    if not isinstance(answer, PolicyAnswer):
        yield f" gives {_kind(answer)}; give curio_ray.tasks.base.PolicyAnswer, or None"
        return
    if problem := text_problem(".start", answer.start):
        yield problem
    yield from _label_problems(answer.labels, types, True, f"{types}, one for each of user_types")


def _question_problems(
    prompt: Any,
    kind: type[ReadingPrompt | ComparisonPrompt],
    labels: int,
    exactly: bool,
    wanted: str,
) -> Iterator[str]:
    """What is wrong with a question about dialogues that is answered with a label."""
    if not isinstance(prompt, kind):
        yield f" gives {_kind(prompt)}; give curio_ray.tasks.base.{kind.__name__}"
        return
    for field in ("instruction", "policy_name", "user_name", "question"):
        if problem := text_problem(f".{field}", getattr(prompt, field)):
            yield problem
    yield from _label_problems(prompt.labels, labels, exactly, wanted)


def _label_problems(labels: Any, count: int, exactly: bool, wanted: str) -> Iterator[str]:
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        yield f".labels is {_kind(labels)}; give a tuple of {wanted}"
        return
    for label in labels:
        if problem := text_problem(".labels holds one that", label):
            yield problem
            return
    if len(labels) < count or (exactly and len(labels) > count):
        yield f".labels has {len(labels)}; give {wanted}"
    if len(set(labels)) < len(labels):
        yield f".labels are {', '.join(map(repr, labels))}; write each once"


def _person_problems(person: Any, types: int, place: str) -> Iterator[tuple[str, str]]:
    """Type and persona of a user, or of what a user becomes."""
    index = person.type_index
    try:
        in_range = not isinstance(index, bool) and 0 <= operator.index(index) < types
    except TypeError:
        in_range = False
    if not in_range:
        yield (
            f"{place}type_index",
            f"{place}type_index is {index!r}; give a whole number from 0 to {types - 1}, the "
            "place of the type in user_types",
        )
    if not isinstance(person.persona, Mapping):
        yield f"{place}persona", f"{place}persona is {_kind(person.persona)}; give a dict of texts"
        return
    for name, value in person.persona.items():
        problem = None
        if not isinstance(name, str):
            problem = f"{place}persona has the key {name!r}; give texts as keys"
        elif value is not None and not isinstance(value, str):
            problem = f"{place}persona['{name}'] is {_kind(value)}; give text, such as '{value}'"
        else:
            problem = _unwritable(f"{place}persona['{name}']", f"{name} {value}")
        if problem:
            yield f"{place}persona", problem
            return


def _unwritable(what: str, text: str) -> str | None:
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04x}"
        return f"{what} has half a character ({code}), which no file can hold; give whole ones"
    return None


def _kind(value: Any) -> str:
    return "None" if value is None else f"{value!r:.40} ({type(value).__name__})"
