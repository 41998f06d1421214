"""Data files come in many formats and shapes: what can be read is read, and all else is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curio_ray.config import load_config
from curio_ray.config.run import TaskConfig
from curio_ray.errors import ConfigError
from curio_ray.tasks.education.data import load_conversations
from curio_ray.tasks.education.files import read_rows
from curio_ray.tasks.registry import make_task


def lesson(topic: str) -> dict[str, Any]:
    """A row as the dataset has it."""
    return {
        "background_info": {
            "topic": topic,
            "student_prefrences": "Hands-on activities/real-world applications",
            "teacher_prefrences": "Direct instruction/lecture-based learning",
            "student_reactions": "and yawns otherwise",
            "teacher_reactions": "and goes on anyway",
        },
        "conversation": [
            {"role": "Teacher", "text": f"Let us look at {topic}\u2028today."},
            {"role": "Student", "text": "May I touch it? “Please”"},
        ],
    }


ROWS = [lesson("rivers"), lesson("clocks"), lesson("mosses")]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


READ: dict[str, Callable[[], bytes]] = {
    "json": lambda: json.dumps(ROWS).encode(),
    "json of many lines": lambda: json.dumps(ROWS, indent=2).encode(),
    "json with a byte order mark": lambda: json.dumps(ROWS).encode("utf-8-sig"),
    "json with ends of lines as on windows": lambda: (
        json.dumps(ROWS, indent=1).replace("\n", "\r\n").encode()
    ),
    "json lines": lambda: LINES.encode(),
    "json lines with a byte order mark": lambda: LINES.encode("utf-8-sig"),
    "json lines with empty lines between": lambda: (
        LINES.replace("\n", "\r\n\n\n").encode() + b"\n\n"
    ),
    "json values one after the other": lambda: "".join(
        json.dumps(row, indent=1) for row in ROWS
    ).encode(),
    "json with gzip": lambda: gzip.compress(json.dumps(ROWS).encode()),
    "json lines with gzip": lambda: gzip.compress(LINES.encode()),
    "parquet": lambda: parquet(ROWS),
    "parquet with gzip": lambda: gzip.compress(parquet(ROWS)),
}


@pytest.mark.parametrize("case", READ)
def test_the_same_rows_are_read_from_every_format(case: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.data"
    path.write_bytes(READ[case]())
    loaded = load_conversations(path)
    assert [each.topic for each in loaded.conversations] == ["rivers", "clocks", "mosses"]
    assert loaded.conversations[0].turns[1].text == "May I touch it? “Please”"
    assert loaded.rejected == ()


def test_a_mapping_that_stands_alone_is_the_only_row(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text(json.dumps(ROWS[0], indent=1))
    assert read_rows(path) == ROWS[:1]


REFUSED: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "is empty; name a file of the dataset"),
    "white space": (b" \n\n", "is empty; name a file of the dataset"),
    "an empty list": (b"[]", "holds no conversation; name a file of the dataset"),
    "a list of an empty list": (b"[ ]\n", "holds no conversation"),
    "an empty parquet file": (parquet([]), "holds no conversation"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", "is a web page or XML, not data"),
    "xml": (b"\n<?xml version='1.0'?><a/>", "is a web page or XML, not data"),
    "a pointer of git lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
        "is a pointer of Git LFS, not the file; call 'git lfs pull'",
    ),
    "a link as text": (
        b"../data/rows.json",
        r"line 1: not valid JSON \(.* at '../data/rows.json'\)",
    ),
    "csv": (b"topic,style\nrivers,x\n", r"line 1: not valid JSON \(.* at 'topic,style"),
    "yaml": (b"- topic: rivers\n", "line 1: not valid JSON"),
    "a python literal": (b"[{'topic': 'rivers'}]", "line 1: not valid JSON"),
    "a comma too many": (b"[\n1,\n]", "line [23]: not valid JSON"),
    "a list that is cut off": (
        json.dumps(ROWS).encode()[:-1],
        "line 1: not valid JSON: it is cut off",
    ),
    "lines that are cut off": (LINES.encode()[:-1], "line 3: not valid JSON: it is cut off"),
    "text that is cut off": (b'[{"a": "b', "line 1: not valid JSON"),
    "a damaged line": (
        LINES.encode().replace(b'{"back', b"{back", 2)[1:],
        "line 1: not valid JSON",
    ),
    "a mapping of rows": (b'{"rows": []}', "holds a mapping of rows, not a list of conversations"),
    "a number": (b"7", "holds 7, not conversations"),
    "words": (b'"rows"', 'holds "rows", not conversations'),
    "null": (b"null", "holds null, not conversations"),
    "brackets without end": (b"[" * 100_000, "is nested too deeply"),
    "a number of too many digits": (b"[" + b"9" * 5000 + b"]", "not valid JSON"),
    "utf-16": (json.dumps(ROWS).encode("utf-16"), "is UTF-16, not UTF-8; save it as UTF-8"),
    "latin-1": ('["für"]'.encode("latin-1"), r"line 1: is not UTF-8 \(byte 0xfc\)"),
    "latin-1 with gzip": (gzip.compress('["für"]'.encode("latin-1")), "line 1: is not UTF-8"),
    "gzip that is cut off": (gzip.compress(LINES.encode())[:-20], "is damaged gzip"),
    "gzip that is none": (b"\x1f\x8bxx", "is damaged gzip"),
    "parquet that is cut off": (parquet(ROWS)[:-30], "is damaged Parquet"),
    "zstd": (b"\x28\xb5\x2f\xfdxx", "is a file compressed with zstd"),
    "xz": (b"\xfd7zXZ\x00xx", "is a file compressed with xz"),
    "bzip2": (b"BZh9xx", "is a file compressed with bzip2"),
    "a zip archive": (b"PK\x03\x04xx", "is a zip archive"),
    "an arrow file": (b"ARROW1xx", "is an Arrow file"),
    "sqlite": (b"SQLite format 3\x00", "is a SQLite database"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_without_conversations_is_named_with_what_it_is(case: str, tmp_path: Path) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "rows.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=rf"task\.options\.files: .*rows\.json: {message}"):
        make_task(TaskConfig(name="education", options={"files": [str(path)]}), seed=0)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\); name a file"):
        read_rows(tmp_path)


SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHAPES: dict[str, tuple[Any, str]] = {
    "sharegpt": (
        {"id": "1", "conversations": [{"from": "human", "value": "Hi"}]},
        "background_info is missing: the row is ShareGPT; this task reads rows",
    ),
    "sharegpt with content": ({"conversations": SAID}, "the row is a chat in OpenAI's form; this"),
    "openai": ({"messages": SAID}, "the row is a chat in OpenAI's form; this task reads"),
    "bare messages": (SAID, r"the row is a list \(a bare list of messages\), not a mapping"),
    "one message": (SAID[0], "the row is a single message; this task reads"),
    "prefeval": (
        {"preference": "no meat", "question": "Where?", "conversation": {"0": {"user": "Hi"}}},
        "the row is PrefEval; this task reads",
    ),
    "alpaca": ({"instruction": "Add", "input": "", "output": "3"}, "the row is Alpaca; this task"),
    "pairs": ({"chosen": SAID, "rejected": SAID}, "the row is a pair of preferences; this task"),
    "completions": ({"prompt": "a", "completion": "b"}, "the row is a prompt with its completion"),
    "plain text": ({"text": "Hi"}, "the row is plain text; this task reads"),
    "turns": ({"dialog": ["Hi"]}, "the row is a dialogue of another dataset; this task"),
    "an export": ({"mapping": {}, "current_node": "x"}, "the row is an export of ChatGPT; this"),
    "unknown keys": ({"a": 1, "b": 2}, "the row is a mapping of a, b; this task reads rows"),
    "no keys": ({}, "the row is a mapping of nothing; this task reads rows with"),
    "a number": (7, "the row is a number, not a mapping"),
}


@pytest.mark.parametrize("lines", [False, True], ids=["json", "json lines"])
@pytest.mark.parametrize("case", SHAPES)
def test_rows_of_another_shape_are_named_with_the_shape_that_is_read(
    case: str, lines: bool, tmp_path: Path
) -> None:
    row, message = SHAPES[case]
    path = tmp_path / "rows.json"
    if lines and not isinstance(row, dict):
        pytest.skip("a line holds a mapping")
    path.write_text("\n".join([json.dumps(row)] * 2) if lines else json.dumps([row, row]))
    all_rows = rf"task\.options\.files: all 2 rows are rejected; rows\.json row 0: .*{message}"
    with pytest.raises(ConfigError, match=all_rows):
        make_task(TaskConfig(name="education", options={"files": [str(path)]}), seed=0)


def test_one_file_without_brackets_is_told_to_be_written_as_a_list() -> None:
    config = load_config("education_pocket", ["task.options.files=/data/rows.json"])
    said = r"task\.options\.files: '/data/rows\.json' does not work; write a list, such as \[/data"
    with pytest.raises(ConfigError, match=said):
        make_task(config.task, seed=0)
