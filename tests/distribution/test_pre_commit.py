"""The hooks of pre-commit are the checks of `make lint`, of the environment's own programs."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def hooks() -> list[dict[str, object]]:
    """Every hook; all of them are local, so that versions are pinned in one place."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    return repository["hooks"]


def test_each_check_of_make_lint_has_a_hook():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    checks = set(re.findall(r"\$\(VENV\)/bin/(ruff check|ruff format|mypy)", recipe))
    entries = " ".join(str(hook["entry"]) for hook in hooks())
    assert checks == {"ruff check", "ruff format", "mypy"}
    assert all(f".venv/bin/{check}" in entries for check in checks)
