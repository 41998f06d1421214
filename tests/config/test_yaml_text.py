"""What is wrong with a YAML file is said with its line."""

import re

import pytest

from curio_ray.config import dump_config, load_config
from curio_ray.errors import ConfigError

WRONG = {
    "a key twice": (
        "seed: 1\nlearner:\n  threads: 1\n  epochs: 2\n  threads: 2\n",
        "line 5: not valid YAML: 'threads' stands here and in line 3; write it once",
    ),
    "a key twice, quoted": ("seed: 1\n'seed': 2\n", "line 2: .*'seed' stands here and in line 1"),
    "a key twice between braces": (
        "learner: {threads: 1, threads: 2}\n",
        "line 1: .*'threads' stands here",
    ),
    "a tab": ("learner:\n\tthreads: 1\n", "line 2: .*; indent with spaces"),
    "an open brace": ("seed: 1\nlearner: {threads: 1\n", "line 3: not valid YAML"),
    "a control character": ("seed: \x01\n", "not valid YAML"),
    "nothing": ("", "is empty; it must hold a mapping of sections"),
    "only comments": ("# nothing\n", "is empty; it must hold a mapping of sections"),
    "a list": ("- seed\n", "must hold a mapping of sections"),
    "an anchor within itself": (
        "learner: &all\n  threads: *all\n",
        r"line 2: not valid YAML: '\*all' stands within itself; write its values out",
    ),
    "an anchor that is nowhere": ("learner: *other\n", "line 1: .*undefined alias 'other'"),
    "two documents": ("seed: 1\n---\nseed: 2\n", "it holds 2 documents; remove the lines '---'"),
    "brackets without end": ("seed: " + "[" * 3000, "it is nested too deeply"),
    "a character that YAML refuses": (
        "seed: 1\noutput: a\x07b\n",
        "line 2: not valid YAML: the character #x0007 may not stand there; remove it",
    ),
    "an object of Python": (
        "seed: !!python/object:os.system {}\n",
        "line 1: .*could not determine a constructor",
    ),
    "a tag that does not fit": ("seed: 1\nlearner: !!int many\n", "line 2: .*'many' is no int"),
    "a number of too many digits": (f"seed: {'9' * 5000}\n", "line 1: .*is no int"),
    "a list as a key": ("? [a, b]\n: 1\n", "line 1: .*unhashable key"),
    "an empty section": ("learner:\n", "learner: is empty; write a section"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_named_with_what_is_wrong(case, tmp_path):
    text, message = WRONG[case]
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"run\.yaml(?s:.*){message}"):
        load_config(path)


def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"seed: 1\n\xff\x01s")
    with pytest.raises(ConfigError, match=r"run\.yaml: line 2: is not UTF-8 \(byte 0xff\)"):
        load_config(path)


def test_the_same_key_in_two_sections_is_no_error(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("extends: pocket\nlearner: {threads: 1}\nservers: {policy: {threads: 1}}\n")
    assert load_config(path) == load_config("pocket")


def test_a_merge_of_yaml_itself_may_be_written_over(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "extends: pocket\nservers:\n  policy: &base {threads: 1, block_size: 64}\n"
        "  frozen: {<<: *base, block_size: 32}\n"
    )
    servers = load_config(path).servers
    assert (servers["policy"].block_size, servers["frozen"].block_size) == (64, 32)


def test_a_change_that_is_no_yaml_is_an_error_of_the_command():
    with pytest.raises(ConfigError, match=r"--set task.options=\{a: line 1: not valid YAML"):
        load_config("pocket", ["task.options={a"])


TWO_MEANINGS = {
    "2026-13-45": "may be a date or a word; a config holds no dates",
    "2026-02-28": "may be a date or a word",
    "2026-02-28 10:00:00": "may be a date or a word",
    "2026-02-30T25:61:00Z": "may be a date or a word",
    "no": "may be a word or false; write false",
    "Yes": "may be a word or true; write true",
    "off": "may be a word or false; write false",
    "ON": "may be a word or true; write true",
    "12:30:45": "may be a time or a number to base 60; write the number",
    "1:30": "may be a time or a number to base 60; write the number",
    "1:30.5": "may be a time or a number to base 60; write the number",
    "0755": "may be a number to base 8 or 10; leave out the 0 at its start",
    "-010": "may be a number to base 8 or 10; leave out the 0 at its start",
}


@pytest.mark.parametrize("text", TWO_MEANINGS)
def test_what_may_be_read_in_two_ways_is_refused_with_its_line(text, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"extends: pocket\noutput: {text}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    said = f"{text} {TWO_MEANINGS[text]}"
    assert "line 2: " in str(refused.value)
    assert said in str(refused.value)
    assert f"or put it in quotes: '{text}'" in str(refused.value)


@pytest.mark.parametrize("text", TWO_MEANINGS)
def test_in_quotes_it_is_a_text(text):
    options = load_config("pocket", [f"task.options.word='{text}'"]).task.options
    assert options["word"] == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e2", 100.0), ("3e-4", 3e-4), ("1E+3", 1000.0), (".5e1", 5.0), ("-2e1", -20.0)],
)
def test_a_number_with_an_exponent_needs_no_point(text, number):
    assert load_config("pocket", [f"task.options.rate={text}"]).task.options["rate"] == number


@pytest.mark.parametrize("text", ["1e2", "2026-01-01", "no", "1:30", "010", "~", "1.5"])
def test_a_text_that_looks_like_something_else_is_written_so_that_it_stays_one(text, tmp_path):
    config = load_config("pocket", [f"task.options.word='{text}'"])
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path).task.options["word"] == text


NOT_YAML = ["[a.json", "a: b: c", "@x", '"abc', "'abc", "{a: 1", "*x", "!!int x", "=", "%a", "`a"]


@pytest.mark.parametrize("text", NOT_YAML)
def test_what_is_no_yaml_behind_set_is_said_with_the_whole_change(text):
    change = f"task.options.files={text}"
    with pytest.raises(ConfigError, match=rf"--set {re.escape(change)}: .*not valid YAML"):
        load_config("pocket", [change])
