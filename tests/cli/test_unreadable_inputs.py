"""What cannot be read as YAML ends every command with the file or the change, and the line."""

import pytest

from curio_ray.config import dump_config, load_config

COMMANDS = [
    ["plan", "pocket"],
    ["train", "pocket"],
    ["compare", "pocket", "--rewards", "acc"],
    ["sft", "pocket"],
    ["train", "--resume", "run"],
    ["evaluate", "run"],
    ["judge", "run", "run"],
]


@pytest.mark.parametrize("text", ["[a", "a: b: c", "2026-13-01", "no", "1:30"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_change_that_is_no_yaml_ends_every_command_with_the_change(
    command, text, curio, tmp_path
):
    folder = tmp_path / "run" / "checkpoints" / "iteration-000001"
    folder.mkdir(parents=True)
    for place in (folder, tmp_path / "run"):
        (place / "config.yaml").write_text(dump_config(load_config("pocket")))
    ended = curio(*command, "--set", f"cluster.address={text}")
    assert ended.code == 2
    assert f"--set cluster.address={text}: line 1: not valid YAML: " in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("seed: 1\n".encode("utf-16"), "is UTF-16, not UTF-8; save it as UTF-8"),
        ("# für\n".encode("latin-1"), "line 1: is not UTF-8 (byte 0xfc)"),
        (b"seed: 2026-13-45\n", "line 1: not valid YAML: 2026-13-45 may be a date or a word"),
        (b"seed: 1\nseed: 2\n", "line 2: not valid YAML: 'seed' stands here and in line 1"),
        (b"seed:\n\t- 1\n", "line 2: not valid YAML"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "train", "sft", "init"])
def test_a_file_that_is_no_config_ends_every_command_with_its_line(
    command, data, message, curio, tmp_path
):
    (tmp_path / "own.yaml").write_bytes(data)
    arguments = ["new", "--config", "own.yaml"] if command == "init" else ["own.yaml"]
    ended = curio(command, *arguments)
    assert ended.code == 2
    assert f"own.yaml: {message}" in ended.error
    assert "Traceback" not in ended.error
