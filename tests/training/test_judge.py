"""`curio judge` compares the policies of two runs by the reward model's verdicts."""

import os
import subprocess

import pytest
from short_runs import REPOSITORY, FinishedRun, curio, overrides

pytestmark = pytest.mark.slow

DEADLINE_S = 300
USERS = 16
SECOND = (
    "servers.second={model: pocket:policy, kv_cache_gib: 0.05}",
    "evaluation.second_user_model={server: second, reads: policy_context}",
)


@pytest.fixture(scope="module")
def judged(short_run: FinishedRun) -> subprocess.CompletedProcess[str]:
    """A run's last policy against its first one."""
    first = str(short_run.path / "checkpoints" / "iteration-000001")
    return subprocess.run(
        curio("judge", str(short_run.path), first, "--users", str(USERS), *overrides(SECOND)),
        cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def figures(judged: subprocess.CompletedProcess[str], name: str) -> list[float]:
    """The numbers of the row that begins with a name."""
    (row,) = [line for line in judged.stdout.splitlines() if line.strip().startswith(f"{name}  ")]
    return [float(part) for part in row.strip().removeprefix(name).split() if part != "-"]


def test_a_judgement_ends_well(judged):
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_every_user_is_a_win_a_tie_or_a_loss(judged):
    rate, low, high, wins, ties, losses = figures(judged, "reward model's verdict")
    assert wins + ties + losses == USERS
    assert rate == pytest.approx((wins + ties / 2) / USERS, abs=1e-3)
    assert low <= rate <= high


def test_both_policies_figures_stand_beside_each_other(judged):
    for name in ("success", "belief", "second_belief"):
        first, second = figures(judged, name)
        assert 0 <= first <= 1
        assert 0 <= second <= 1
