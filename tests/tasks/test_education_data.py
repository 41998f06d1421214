"""The loader of the Education Dialogue files: repaired rows and rejected ones."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curio_ray.errors import ConfigError
from curio_ray.tasks.education.data import (
    SAMPLE_FILE,
    RecordedConversation,
    Rejected,
    load_conversations,
)

REAL_FILE = Path(
    os.environ.get("CURIO_EDUCATION_DATA")
    or Path(__file__).parents[3] / "shared" / "data" / "education_dialogue_700.json"
)
ROW: dict[str, Any] = {
    "background_info": {
        "topic": "Tides",
        "student_prefrences": "hands-on activities/real-world applications",
        "teacher_prefrences": "formative assessment",
        "student_reactions": "and sulks otherwise",
        "teacher_reactions": "and carries on otherwise",
    },
    "conversation": [
        {"role": "Teacher", "text": "Why does the sea rise?"},
        {"role": "Student", "text": "May I build a model of it?"},
        {"role": "Teacher", "text": "Please do. [End of conversation]"},
    ],
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., RecordedConversation | Rejected]:
    def load_one(row: Any) -> RecordedConversation | Rejected:
        path = tmp_path / "rows.json"
        path.write_text(json.dumps([row]))
        loaded = load_conversations(path)
        (only,) = (*loaded.conversations, *loaded.rejected)
        return only

    return load_one


def changed(**info: Any) -> dict[str, Any]:
    row = copy.deepcopy(ROW)
    row["background_info"].update(info)
    return row


def talk(*turns: tuple[str, str]) -> dict[str, Any]:
    return {**ROW, "conversation": [{"role": role, "text": text} for role, text in turns]}


def heard(conversation: RecordedConversation) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in conversation.turns]


def test_a_row_becomes_a_typed_record(load: Callable[..., RecordedConversation]) -> None:
    record = load(ROW)
    assert (record.file, record.row, record.topic) == ("rows.json", 0, "Tides")
    assert (record.student_style, record.teacher_style) == ("hands_on", "assessment")
    assert record.student_reaction == "and sulks otherwise"
    assert record.teacher_reaction == "and carries on otherwise"
    assert heard(record) == [
        ("teacher", "Why does the sea rise?"),
        ("student", "May I build a model of it?"),
        ("teacher", "Please do."),
    ]
    assert record.ended


def test_correctly_spelt_keys_are_read_too(load: Callable[..., RecordedConversation]) -> None:
    row = copy.deepcopy(ROW)
    info = row["background_info"]
    info["student_preferences"] = info.pop("student_prefrences")
    info["teacher_preferences"] = info.pop("teacher_prefrences")
    assert load(row) == load(ROW)


def test_case_and_spaces_of_a_style_do_not_matter(
    load: Callable[..., RecordedConversation],
) -> None:
    row = changed(student_prefrences=" Hands-on activities /  real-world applications")
    assert load(row).student_style == "hands_on"


def test_two_turns_of_one_role_become_one(load: Callable[..., RecordedConversation]) -> None:
    record = load(talk(("Teacher", "Yes."), ("teacher ", "Listen."), ("Student", "I do.")))
    assert heard(record) == [("teacher", "Yes. Listen."), ("student", "I do.")]
    assert not record.ended


def test_empty_texts_are_left_out(load: Callable[..., RecordedConversation]) -> None:
    record = load(talk(("Teacher", "Hm."), ("Student", '",'), ("Teacher", "So?"), ("Student", "!")))
    assert heard(record) == [("teacher", "Hm. So?"), ("student", "!")]


def test_nothing_follows_the_end_marker(load: Callable[..., RecordedConversation]) -> None:
    end = "[end of conversation]"
    record = load(
        talk(("Teacher", "Hm."), ("Student", f"Bye. {end}"), ("Teacher", "More"), ("", 1))
    )
    assert heard(record) == [("teacher", "Hm."), ("student", "Bye.")]
    assert record.ended


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("Rome was not built in a day.", "Rome"),
        ("The alphabet has letters.", "The Alphabet"),
        ("Look!", "The AlphabetRome"),
    ],
)
def test_of_two_glued_topics_the_one_talked_about_remains(
    load: Callable[..., RecordedConversation], said: str, topic: str
) -> None:
    row = talk(("Teacher", said), ("Student", "Oh."))
    row["background_info"] = changed(topic="The AlphabetRome")["background_info"]
    assert load(row).topic == topic


def test_a_capital_inside_a_name_does_not_split_it(
    load: Callable[..., RecordedConversation],
) -> None:
    row = talk(("Teacher", "Senator McCarthy held hearings."), ("Student", "Oh."))
    row["background_info"] = changed(topic="Senator McCarthy")["background_info"]
    assert load(row).topic == "Senator McCarthy"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "the row is text, not a mapping"),
        ({"conversation": []}, "background_info is missing: the row is a mapping of conversation"),
        ({**ROW, "conversation": "hello"}, "conversation is text, not a list"),
        ({**ROW, "conversation": ["hello"]}, "conversation[0] is text, not a mapping"),
        (talk(("Narrator", "Once.")), "conversation[0].role is neither Teacher nor Student"),
        (talk(("Teacher", 3)), "conversation[0].text is a number, not text"),
        (talk(), "conversation has no words"),
        (talk(("Teacher", " ")), "conversation has no words"),
        (talk(("Student", "Hi.")), "conversation begins with the student"),
        (talk(("Teacher", "Hi.")), "conversation has no words of the student"),
        (changed(topic=""), "background_info.topic is empty"),
        (changed(topic=None), "background_info.topic is missing, not text"),
        (changed(student_reactions=[]), "background_info.student_reactions is a list, not text"),
        (changed(student_prefrences="naps"), "background_info.student_prefrences is none of"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_the_reason(
    load: Callable[..., Rejected], row: Any, reason: str
) -> None:
    rejected = load(row)
    assert isinstance(rejected, Rejected)
    assert rejected.row == 0
    assert rejected.reason.startswith(reason)


def test_several_files_are_joined_and_rows_keep_their_place(tmp_path: Path) -> None:
    first, second = tmp_path / "train1.json", tmp_path / "train2.json"
    first.write_text(json.dumps([ROW, {}]))
    second.write_text(json.dumps([[], ROW]))
    loaded = load_conversations(first, second)
    places = [(each.file, each.row) for each in loaded.conversations]
    assert places == [("train1.json", 0), ("train2.json", 1)]
    assert [(each.file, each.row) for each in loaded.rejected] == [
        ("train1.json", 1),
        ("train2.json", 0),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [('{"rows": []}', "holds a mapping of rows, not a list"), ("[{", "not valid JSON")],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=rf"rows\.json.*{problem}"):
        load_conversations(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.json"):
        load_conversations(tmp_path / "gone.json")


def test_the_packaged_sample_loads_whole_and_holds_every_style() -> None:
    loaded = load_conversations(SAMPLE_FILE)
    assert not loaded.rejected
    assert len(loaded.conversations) == 16
    assert len({each.student_style for each in loaded.conversations}) == 4


@pytest.mark.skipif(not REAL_FILE.is_file(), reason="CURIO_EDUCATION_DATA names no file")
def test_every_real_row_loads_or_is_rejected_with_a_reason() -> None:
    loaded = load_conversations(REAL_FILE)
    rows = len(json.loads(REAL_FILE.read_text(encoding="utf-8")))
    assert len(loaded.conversations) + len(loaded.rejected) == rows
    assert all(each.reason for each in loaded.rejected)
    assert len(loaded.rejected) < rows / 100


@pytest.mark.skipif(not REAL_FILE.is_file(), reason="CURIO_EDUCATION_DATA names no file")
def test_real_turns_alternate_and_are_clean() -> None:
    for conversation in load_conversations(REAL_FILE).conversations:
        roles = [turn.role for turn in conversation.turns]
        assert roles == (["teacher", "student"] * len(roles))[: len(roles)]
        for turn in conversation.turns:
            assert turn.text == turn.text.strip().rstrip(",") != ""
            assert turn.text.count('"') % 2 == 0
            assert "end of conversation" not in turn.text.casefold()
