"""A task in a file of one's own is found, made and walked by every command before it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curio_ray.config import dump_config, load_config
from curio_ray.model_paths import pocket_model

ROOT = Path(__file__).parents[2]
TASK = """
from dataclasses import replace

from curio_ray.tasks.exercise.task import ExerciseTask


class Walk(ExerciseTask):
    def __init__(self, seed: int, walkers: int = 8) -> None:
        super().__init__(seed, train_users=walkers, held_out_users=walkers)


class NoOneNew(Walk):
    def users(self, split):
        return super().users("train")


class Unnamed(Walk):
    def users(self, split):
        return [replace(user, id=number) for number, user in enumerate(super().users(split))]


class Failing(Walk):
    def __init__(self, seed: int) -> None:
        raise KeyError("WALKS_FOLDER")


class Half(ExerciseTask.__base__):
    def users(self, split):
        return []
"""
OPTIONS = ["--set", "task.options={}"]
BROKEN = {
    "walks:NoOneNew": "task.name: user 'train-00000' is in both splits",
    "walks:Unnamed": "task.name: users('train')[0] '0': id is 0 (int); give text (and 15 more)",
    "walks:Failing": "task.options: making Failing fails: KeyError: 'WALKS_FOLDER' (",
    "walks:Half": "task.name: Half lacks environment_prompt, is_over, opening, ",
    "walks:Wallk": "has no 'Wallk'; did you mean Walk?",
    "walks.py:Walk": "task.name: 'walks.py:Walk' names a file, not a module (did you mean walks:",
    "'walks:'": "task.name: 'walks:' ends with its colon",
    "walks:": "task.name: {'walks': None} does not work; write text, in quotes where",
    "..walks:Walk": "task.name: '..walks:Walk' begins with a dot",
    "wolks:Walk": "task.name: 'wolks:Walk' cannot be loaded (No module named 'wolks')",
    "calendar:Walk": "calendar.py has the same name and is not found; rename it",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of the command, with the task's file in it."""
    (tmp_path / "walks.py").write_text(TASK)
    (tmp_path / "calendar.py").write_text(TASK)
    return tmp_path


def test_the_installed_command_finds_a_task_in_its_folder(here):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [Path(sys.executable).with_name("curio"), "plan", "pocket"]
    ended = subprocess.run(
        [*command, "--set", "task.name=walks:Walk", "--set", "task.options={walkers: 1e1}"],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", BROKEN)
def test_plan_says_what_is_wrong_with_a_task(name, curio, here):
    ended = curio("plan", "pocket", "--set", f"task.name={name}", *OPTIONS)
    assert ended.code == 2
    assert BROKEN[name] in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("walkers: many", "task.options.walkers: 'many' does not work; write a whole number"),
        ("walkers: 1.5", "task.options.walkers: 1.5 does not work; write a whole number"),
        ("walkers: .inf", "task.options.walkers: inf does not work; write a finite number"),
        ("walkers: 2026-01-01", "may be a date or a word"),
        ("runners: 5", "task.options: Walk does not take them: got an unexpected keyword argument"),
    ],
)
def test_plan_names_a_wrong_option_of_a_task(option, message, curio, here):
    options = ["--set", "task.name=walks:Walk", "--set", f"task.options={{{option}}}"]
    ended = curio("plan", "pocket", *options)
    assert ended.code == 2
    assert message in ended.error
    assert "Traceback" not in ended.error


@pytest.mark.parametrize(
    "command", [["train", "pocket"], ["compare", "pocket", "--rewards", "acc"], ["sft", "pocket"]]
)
def test_every_command_walks_the_task_before_it_starts(command, curio, here):
    ended = curio(*command, "--set", "task.name=walks:NoOneNew", *OPTIONS)
    assert ended.code == 2
    assert BROKEN["walks:NoOneNew"] in ended.error
    assert ended.heavy_modules == []
    assert not (here / "runs").exists()


@pytest.mark.parametrize("command", [["evaluate", "saved"], ["judge", "saved", "saved"]])
def test_a_trained_policy_is_measured_with_a_task_that_was_walked(command, curio, here):
    saved = here / "saved"
    shutil.copytree(pocket_model("policy"), saved / "trainer" / "policy")
    changes = ["task.name=walks:NoOneNew", "task.options={}"]
    (saved / "config.yaml").write_text(dump_config(load_config("pocket", changes)))
    ended = curio(*command)
    assert ended.code == 2
    assert BROKEN["walks:NoOneNew"] in ended.error
    assert ended.heavy_modules == []
