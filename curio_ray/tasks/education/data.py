"""Recorded conversations of the Education Dialogue dataset, read from its files.

Dataset: Shani et al. 2024, arXiv 2405.14655. Its rows have defects; a row is repaired where it is
certain what was meant, and rejected with a reason elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from curio_ray.tasks.education.files import read_rows, shape_of
from curio_ray.tasks.education.text import ends_conversation, spoken_text

StudentStyle = Literal["discussion", "lectures", "hands_on", "story_telling"]
TeacherStyle = Literal["discussion", "lectures", "hands_on", "assessment"]
Role = Literal["teacher", "student"]
StyleName = TypeVar("StyleName", bound=str)

SAMPLE_FILE = Path(__file__).with_name("education_sample.json")

_STUDENT_STYLES: dict[str, StudentStyle] = {
    "interactive learning/class discussions/asking questions": "discussion",
    "direct instruction/lecture-based learning": "lectures",
    "hands-on activities/real-world applications": "hands_on",
    "creative expression/story telling/gamification": "story_telling",
}
_TEACHER_STYLES: dict[str, TeacherStyle] = {
    "interactive learning/class discussions/inquiry-based learning": "discussion",
    "direct instruction/lecture-based learning": "lectures",
    "experiential learning/hands-on activities": "hands_on",
    "formative assessment": "assessment",
}
_READ = (
    "this task reads rows with background_info (topic, student_preferences, teacher_preferences, "
    "student_reactions, teacher_reactions) and conversation (a list of role, Teacher or Student, "
    "and text)"
)
_GLUED = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """What one side said, without end markers and stray characters; never empty."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class RecordedConversation:
    """One row: teacher and student strictly alternate and the teacher begins.

    `row` counts from 0 in `file`. `ended` tells whether the row had an end marker. A reaction
    continues a sentence on the preferred style, such as "and gets rude otherwise".
    """

    file: str
    row: int
    topic: str
    student_style: StudentStyle
    teacher_style: TeacherStyle
    student_reaction: str
    teacher_reaction: str
    turns: tuple[RecordedTurn, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used, counted from 0 in its file, and why."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedConversations:
    """Every row of the files: either a conversation or rejected."""

    conversations: tuple[RecordedConversation, ...]
    rejected: tuple[Rejected, ...]


class _RowError(ValueError):
    """A row that cannot be used; its message is the reason."""


def load_conversations(*paths: str | Path) -> LoadedConversations:
    """All rows of one or several of the dataset's files, in their order.

    Raises:
        ConfigError: a file is missing, damaged, empty or of another format.
    """
    conversations: list[RecordedConversation] = []
    rejected: list[Rejected] = []
    for path in map(Path, paths):
        for number, row in enumerate(read_rows(path)):
            try:
                conversations.append(_conversation(path.name, number, row))
            except _RowError as error:
                rejected.append(Rejected(path.name, number, str(error)))
    return LoadedConversations(tuple(conversations), tuple(rejected))


def _conversation(file: str, number: int, row: Any) -> RecordedConversation:
    fields = _mapping(row, "the row")
    if "background_info" not in fields:
        keys = shape_of(row) or f"a mapping of {', '.join(fields) or 'nothing'}"
        raise _RowError(f"background_info is missing: the row is {keys}; {_READ}")
    info = _mapping(fields.get("background_info"), "background_info")
    turns, ended = _turns(fields.get("conversation"))
    return RecordedConversation(
        file=file,
        row=number,
        topic=_topic(_words(info, "topic"), turns),
        student_style=_style(info, "student_prefrences", "student_preferences", _STUDENT_STYLES),
        teacher_style=_style(info, "teacher_prefrences", "teacher_preferences", _TEACHER_STYLES),
        student_reaction=_words(info, "student_reactions"),
        teacher_reaction=_words(info, "teacher_reactions"),
        turns=turns,
        ended=ended,
    )


def _style(
    info: Mapping[str, Any], misspelt: str, corrected: str, styles: Mapping[str, StyleName]
) -> StyleName:
    name = misspelt if misspelt in info else corrected
    words = _words(info, name)
    style = styles.get(re.sub(r"\s*/\s*", "/", words).casefold())
    if style is None:
        raise _RowError(f"background_info.{name} is none of the known styles: {words!r}")
    return style


def _topic(topic: str, turns: Sequence[RecordedTurn]) -> str:
    """The topic itself, or the part of two glued ones ("The AlphabetRome") that is talked about."""
    parts = _GLUED.split(topic)
    if len(parts) == 1:
        return topic
    said = " ".join(turn.text for turn in turns).casefold()
    counts = [len(re.findall(rf"\b{re.escape(_bare(part))}\b", said)) for part in parts]
    return parts[counts.index(max(counts))] if any(counts) else topic


def _bare(topic: str) -> str:
    return topic.casefold().removeprefix("the ")


def _turns(rows: Any) -> tuple[tuple[RecordedTurn, ...], bool]:
    """The turns up to the end marker, and whether there was one.

    Texts without words are left out; neighbours of one role then become one turn.
    """
    if not isinstance(rows, list):
        raise _RowError(f"conversation is {_kind(rows)}, not a list")
    turns: list[RecordedTurn] = []
    ended = False
    for position, row in enumerate(rows):
        role, raw = _role_and_text(row, f"conversation[{position}]")
        text = spoken_text(raw)
        if text and turns and turns[-1].role == role:
            turns[-1] = RecordedTurn(role, f"{turns[-1].text} {text}")
        elif text:
            turns.append(RecordedTurn(role, text))
        if ended := ends_conversation(raw):
            break
    if not turns:
        raise _RowError("conversation has no words")
    if turns[0].role != "teacher":
        raise _RowError("conversation begins with the student")
    if len(turns) == 1:
        raise _RowError("conversation has no words of the student")
    return tuple(turns), ended


def _role_and_text(row: Any, place: str) -> tuple[Role, str]:
    fields = _mapping(row, place)
    role, text = fields.get("role"), fields.get("text")
    if not isinstance(role, str) or role.strip().casefold() not in ("teacher", "student"):
        raise _RowError(f"{place}.role is neither Teacher nor Student: {role!r}")
    if not isinstance(text, str):
        raise _RowError(f"{place}.text is {_kind(text)}, not text")
    return cast(Role, role.strip().casefold()), text


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        shape = f" ({found})" if (found := shape_of(value)) else ""
        raise _RowError(f"{place} is {_kind(value)}{shape}, not a mapping")
    return value


def _words(info: Mapping[str, Any], name: str) -> str:
    value = info.get(name)
    words = " ".join(value.split()) if isinstance(value, str) else ""
    if not words:
        problem = "empty" if isinstance(value, str) else f"{_kind(value)}, not text"
        raise _RowError(f"background_info.{name} is {problem}")
    return words


def _kind(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return "missing" if value is None else kinds.get(type(value), "a number")
