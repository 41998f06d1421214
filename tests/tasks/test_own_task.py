"""The documented example of a user's own task."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "docs" / "extend" / "examples" / "tea_or_coffee.py"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary package that holds the example, on the module path of all processes."""
    folder = tmp_path / "packages" / "drinks"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "tea_or_coffee.py").write_text(EXAMPLE.read_text())
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    return folder


def test_a_task_of_a_users_own_package_trains_for_two_iterations(package, tmp_path):
    run = tmp_path / "run"
    values = (
        "task.name=drinks.tea_or_coffee:TeaOrCoffee",
        "task.options={guests: 16, turns: 3}",
        "servers.frozen.max_model_len=512",
        "training.iterations=2",
        "training.dialogues_per_iteration=8",
        "evaluation.users=8",
    )
    overrides = [part for value in values for part in ("--set", value)]
    command = [sys.executable, "-m", "curio_ray", "train", "configs/pocket.yaml"]
    done = subprocess.run(
        [*command, "--output", str(run), *overrides],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3


def test_the_example_is_under_a_hundred_lines():
    assert len(EXAMPLE.read_text().splitlines()) < 100
