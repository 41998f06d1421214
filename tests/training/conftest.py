"""Short runs of `curio train`, by the command line, that several claims are read from."""

from __future__ import annotations

import pytest
from short_runs import FinishedRun, InterruptedRun, train_two_iterations

STALL = "rollout.stall={exchanges: 4, change: 0.02}"
GROUPS = ("credit.estimator=rloo", "credit.group_size=4")


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> InterruptedRun:
    """The pocket run, interrupted after two iterations or little more, and resumed for one."""
    return InterruptedRun(tmp_path_factory.mktemp("runs") / "interrupted", iterations=2)


@pytest.fixture(scope="session")
def short_run(interrupted: InterruptedRun) -> FinishedRun:
    """The same run as it is in the end."""
    assert interrupted.resumed.returncode == 0, interrupted.resumed.stderr
    return FinishedRun(interrupted.path, interrupted.resumed.stdout)


@pytest.fixture(scope="session")
def changing_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Users who change, each met by a group, and dialogues cut short where the belief stalls."""
    path = tmp_path_factory.mktemp("runs") / "changing"
    return train_two_iterations("configs/pocket_changing.yaml", path, STALL, *GROUPS)
