"""One short run of `curio train`, by the command line, that several claims are read from."""

from __future__ import annotations

import subprocess

import pytest
from short_runs import REPOSITORY, SHORT, FinishedRun, curio, overrides


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two iterations of the pocket run."""
    path = tmp_path_factory.mktemp("runs") / "short"
    command = curio(
        "train", "configs/pocket.yaml", "--output", str(path),
        *overrides((*SHORT, "training.iterations=2")),
    )  # fmt: skip
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return FinishedRun(path, done.stdout)
