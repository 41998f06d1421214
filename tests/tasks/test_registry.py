"""Tasks by name, and errors that say what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from curio_ray.config.run import TaskConfig
from curio_ray.errors import ConfigError
from curio_ray.tasks.exercise.task import ExerciseTask
from curio_ray.tasks.registry import make_task, task_names


def test_a_registered_task_is_made_by_name_with_its_options() -> None:
    task = make_task(TaskConfig(name="exercise", options={"questions": 3}), seed=0)
    assert isinstance(task, ExerciseTask)
    assert task.max_turns == 4


def test_an_installed_package_adds_a_task_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "guests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: guests\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[curio_ray.tasks]\nguests = guests_task:Guests\n")
    (tmp_path / "guests_task.py").write_text(
        "from curio_ray.tasks.exercise.task import ExerciseTask as Guests\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "guests" in task_names()
    assert isinstance(make_task(TaskConfig(name="guests"), seed=0), ExerciseTask)


def test_a_task_is_made_by_module_and_class() -> None:
    task = make_task(TaskConfig(name="curio_ray.tasks.exercise.task:ExerciseTask"), seed=0)
    assert isinstance(task, ExerciseTask)


def test_exercise_is_registered() -> None:
    assert "exercise" in task_names()


@pytest.mark.parametrize(
    "name", ["exercis", "no.such.module:Task", "curio_ray.tasks.exercise.task:Tas"]
)
def test_an_unknown_task_names_those_that_exist(name: str) -> None:
    with pytest.raises(ConfigError, match=r"task\.name.*exercise"):
        make_task(TaskConfig(name=name), seed=0)


def test_a_class_that_is_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.name.*not a task"):
        make_task(TaskConfig(name="collections:Counter"), seed=0)


@pytest.mark.parametrize("options", [{"questions": 0}, {"questions": "many"}, {"question": 5}])
def test_a_wrong_option_is_named_by_its_path(options: dict[str, object]) -> None:
    path = rf"task\.options\.{next(iter(options))}"
    with pytest.raises(ConfigError, match=path):
        make_task(TaskConfig(name="exercise", options=options), seed=0)


def test_options_that_the_task_cannot_take_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.options.*seed"):
        make_task(TaskConfig(name="exercise", options={"seed": 1}), seed=0)
