"""What a config names as `module:name`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from curio_ray.errors import ConfigError
from curio_ray.plugins import (
    check_takes,
    load_class,
    load_function,
    registered,
    unknown_name,
)

FIELD = "learner.loss.function"


def test_a_function_is_loaded_by_module_and_name() -> None:
    assert load_function("os.path:join", FIELD)("a", "b") == "a/b"


def test_a_class_is_loaded_by_module_and_name() -> None:
    assert load_class("pathlib:PosixPath", FIELD, Path).__name__ == "PosixPath"


def test_a_module_in_the_folder_of_the_command_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def half(x):\n    return x / 2\n")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "from curio_ray.plugins import load_function\nprint(load_function('own:half', 'f')(3))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1.5\n"


@pytest.mark.parametrize("reference", ["join", "no.such.module:join", "os.path:jon", ":join"])
def test_what_cannot_be_imported_is_named_with_its_field(reference: str) -> None:
    with pytest.raises(ConfigError, match=rf"learner\.loss\.function: '{reference}'.*module:name"):
        load_function(reference, FIELD)


def test_a_module_with_a_mistake_is_named_with_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_with_a_mistake.py").write_text("def half(x:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"learner\.loss\.function: .*own_with_a_mistake\.py"):
        load_function("own_with_a_mistake:half", FIELD)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"learner\.loss\.function: 'math:pi' is a float"):
        load_function("math:pi", FIELD)


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.name: .*subclass of pathlib.*Path"):
        load_class("collections:Counter", "task.name", Path)


def test_options_that_a_function_does_not_take_are_refused() -> None:
    def scaled(x: float, by: float = 1.0) -> float:
        return x * by

    check_takes(scaled, 1, {"by": 2.0}, "learner.loss.options")
    with pytest.raises(ConfigError, match=r"learner\.loss\.options: scaled.*'to'.*by: 'float'"):
        check_takes(scaled, 1, {"to": 2.0}, "learner.loss.options")


def test_packages_register_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "halves-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: halves\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[curio_ray.halves]\nhalf = own:half\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registered("curio_ray.halves") == {"half": "own:half"}


def test_a_name_that_nothing_has_is_met_with_those_that_exist() -> None:
    said = unknown_name("task.name", "task", "exercis", ["education", "exercise"], "or a class")
    assert said == (
        "task.name: there is no task 'exercis'; did you mean exercise? "
        "write one of: education, exercise, or a class"
    )


MISSPELT = {
    "own_task:": "ends with its colon",
    ":Task": "names no module that can be imported",
    "..own_task:Task": "begins with a dot",
    "own-task:Task": "names no module that can be imported",
    "own_task.py:Task": r"names a file, not a module \(did you mean own_task:Task\?\)",
    "tasks/own_task.py:Task": r".*did you mean tasks\.own_task:Task\?",
    "./own_task:Task": r".*did you mean own_task:Task\?",
    "own_task:Task()": "names nothing in the module",
    "own_task:Task:Other": "names nothing in the module",
    "own task:Task": "names no module that can be imported",
    "own_task.:Task": "names no module that can be imported",
}


@pytest.mark.parametrize("reference", MISSPELT)
def test_a_misspelt_name_is_refused_with_words(reference: str) -> None:
    said = rf"task\.name: '{re.escape(reference)}' {MISSPELT[reference]}.*; write a class"
    with pytest.raises(ConfigError, match=said):
        load_class(reference, "task.name", Path, "a class as module:Class")


RAISING = {
    "raise RuntimeError('no data folder')": r"RuntimeError: no data folder \(.*\.py, line 1\)",
    "open('personas.csv')": r"FileNotFoundError: .*personas\.csv.* \(.*\.py, line 1\)",
    "import json\n\njson.loads('{')": r"JSONDecodeError: .* \(.*\.py, line 3\)",
    "{}['SECRET']": r"KeyError: 'SECRET' \(.*\.py, line 1\)",
    "undefined": "NameError: name 'undefined' is not defined",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import sys\nsys.exit(0)": r"SystemExit: 0 \(.*\.py, line 2\)",
    "from os import nothing_such": "ImportError: cannot import name 'nothing_such'",
    "def f(:": r"SyntaxError: invalid syntax \(.*\.py, line 1\)",
    "if True:\nx = 1": r"IndentationError: .*\.py, line 2",
    "assert False, 'set the token'": "AssertionError: set the token",
}


@pytest.mark.parametrize("number", range(len(RAISING)))
def test_what_a_module_raises_while_it_is_imported_is_named_with_its_line(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, cause = list(RAISING.items())[number]
    name = f"raising_module_{number}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    said = rf"task\.name: '{name}:Task' cannot be loaded: importing {name} .*fails: {cause}"
    with pytest.raises(ConfigError, match=said):
        load_class(f"{name}:Task", "task.name", Path)


def test_a_module_that_a_users_module_misses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needing_module.py").write_text("import pandas_of_another_world\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"needing_module .*needing_module\.py\) imports 'pandas_of_another_world', which is",
    ):
        load_class("needing_module:Task", "task.name", Path)


def test_a_class_that_a_module_lacks_is_met_with_one_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guessing_module.py").write_text("class TeaOrCoffee:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"has no 'TeaOrCofee'; did you mean TeaOrCoffee\?"):
        load_class("guessing_module:TeaOrCofee", "task.name", Path)


def test_a_module_that_is_nowhere_says_where_it_is_looked_for() -> None:
    with pytest.raises(ConfigError, match=r"in the folder of the command, .*on PYTHONPATH"):
        load_class("module_of_nowhere:Task", "task.name", Path)
