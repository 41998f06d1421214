"""What is wrong with a YAML file is said with its line."""

import pytest

from curio_ray.config import load_config
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
    path.write_bytes(b"\xff\xfe\x00s")
    with pytest.raises(ConfigError, match=r"run\.yaml: is not text in UTF-8"):
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
