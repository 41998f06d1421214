"""Checkpoints appear whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest

from curio_ray.config import load_config
from curio_ray.errors import CheckpointError
from curio_ray.run_folder import RunFolder, find_checkpoint

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from curio_ray.run_folder.checkpoints import Checkpoints
with Checkpoints(Path(sys.argv[1]), keep=2).write(40) as folder:
    (folder / "weights").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def save(run: RunFolder, iteration: int) -> None:
    with run.checkpoint(iteration) as folder:
        (folder / "weights").write_text(str(iteration))


def test_latest_checkpoint_is_the_newest(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    assert run.latest_checkpoint() is None
    save(run, 9)
    save(run, 10)
    assert (run.latest_checkpoint() / "weights").read_text() == "10"


def test_a_killed_writer_leaves_the_earlier_checkpoint(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    save(run, 20)
    folder = run.path / "checkpoints"
    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert run.latest_checkpoint().name == "iteration-000020"
    save(run, 40)
    assert os.listdir(folder / "iteration-000040").count("weights") == 1


def test_a_failed_write_leaves_nothing(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    with pytest.raises(OSError, match="disk full"), run.checkpoint(20):
        raise OSError("disk full")
    assert os.listdir(run.path / "checkpoints") == []


def test_only_the_newest_checkpoints_stay(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    for iteration in (20, 40, 60):
        save(run, iteration)
    names = sorted(os.listdir(run.path / "checkpoints"))
    assert names == ["iteration-000040", "iteration-000060"]


def test_saving_an_iteration_again_replaces_it(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    save(run, 20)
    with run.checkpoint(20) as folder:
        (folder / "weights").write_text("again")
    assert (run.latest_checkpoint() / "weights").read_text() == "again"


def test_a_checkpoint_carries_its_config(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    save(run, 20)
    assert load_config(find_checkpoint(run.path) / "config.yaml") == config


def test_a_run_without_checkpoint_says_so(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    with pytest.raises(CheckpointError, match="holds no complete checkpoint"):
        find_checkpoint(run.path)


COPIES = [
    "iteration-000004.bak",
    "iteration-000099.bak",
    "iteration-000099.old.1",
    "iteration-000099~",
    "iteration-000099-good",
    "iteration-000099 (copy)",
    "iteration-000099.zip",
    "iteration-0000099",
    "copy-iteration-000099",
    ".iteration-000099.swp",
    "best",
]


@pytest.mark.parametrize("name", COPIES)
def test_a_users_copy_is_neither_the_newest_nor_removed(name, tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    copy = run.path / "checkpoints" / name
    copy.mkdir()
    (copy / "weights").write_text("mine")
    for iteration in (2, 4, 6):
        save(run, iteration)
    assert run.latest_checkpoint().name == "iteration-000006"
    assert find_checkpoint(run.path).name == "iteration-000006"
    names = {each.name for each in copy.parent.iterdir()}
    assert names == {name, "iteration-000004", "iteration-000006"}
    assert (copy / "weights").read_text() == "mine"


def test_a_run_with_copies_alone_has_no_checkpoint(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    (run.path / "checkpoints" / "iteration-000004.bak").mkdir()
    with pytest.raises(CheckpointError, match="holds no complete checkpoint"):
        find_checkpoint(run.path)


def test_a_copy_that_is_named_is_meant(tmp_path):
    copy = tmp_path / "iteration-000004.bak"
    (copy / "trainer" / "policy").mkdir(parents=True)
    assert find_checkpoint(copy) == copy


def test_a_file_with_a_checkpoints_name_is_none(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    (run.path / "checkpoints" / "iteration-000009").write_text("")
    assert run.latest_checkpoint() is None


def test_a_copy_of_recorded_dialogues_is_neither_read_nor_forgotten(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    for name in ("iteration-000009.parquet", "iteration-000009.bak.parquet"):
        (run.path / "dialogues" / name).write_text("")
    run.rewind(4)
    assert os.listdir(run.path / "dialogues") == ["iteration-000009.bak.parquet"]
