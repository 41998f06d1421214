"""One short run of `curio train`, by the command line, that several claims are read from."""

from __future__ import annotations

import pytest
from short_runs import FinishedRun, train_two_iterations


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two iterations of the pocket run."""
    path = tmp_path_factory.mktemp("runs") / "short"
    return train_two_iterations("configs/pocket.yaml", path)
