"""One set of Python versions, named alike wherever it is named."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
VERSIONS = ["3.11", "3.12", "3.13"]


def test_the_project_declares_the_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    allowed = SpecifierSet(project["requires-python"])
    assert classified == VERSIONS
    assert [f"3.{minor}" for minor in range(30) if f"3.{minor}.0" in allowed] == VERSIONS


def test_the_workflow_does_what_ci_does_on_each_version():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == VERSIONS
    assert job["steps"][-1] == {"run": "bash .ci/run", "env": {"PYTHON": "python"}}


def test_the_locks_are_resolved_for_each_version():
    assert f"PYTHONS=({' '.join(VERSIONS)})" in (ROOT / "requirements" / "lock.sh").read_text()


def test_set_up_names_the_versions_when_it_is_given_another_program():
    ended = subprocess.run(
        [ROOT / "requirements" / "set_up.sh", "/nonexistent", "/bin/false"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13" in ended.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "requirements").glob("*.sh")), ids=str)
def test_shellcheck_finds_nothing(script):
    linter = Path(sys.executable).with_name("shellcheck")
    ended = subprocess.run([linter, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
