"""`curio evaluate` measures the policy of a finished run, without a learner."""

import json
import os
import subprocess

import pytest
from short_runs import REPOSITORY, FinishedRun, curio

pytestmark = pytest.mark.slow

DEADLINE_S = 200


def evaluate(run: FinishedRun) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        curio("evaluate", str(run.path)), cwd=REPOSITORY, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def figures(evaluation: subprocess.CompletedProcess[str]) -> dict[str, list[float]]:
    """The printed measures by name."""
    rows = [line.split() for line in evaluation.stdout.splitlines()]
    return {
        row[0]: [float(value) for value in row[1:]]
        for row in rows
        if row and row[0].startswith("held_out/")
    }


@pytest.fixture(scope="module")
def evaluation(short_run: FinishedRun) -> subprocess.CompletedProcess[str]:
    return evaluate(short_run)


def test_an_evaluation_ends_well_and_prints_success(evaluation):
    assert evaluation.returncode == 0, evaluation.stdout + evaluation.stderr
    (success,) = figures(evaluation)["held_out/success"]
    assert 0 <= success <= 1


def test_an_evaluation_names_the_checkpoint(evaluation, short_run):
    assert str(short_run.checkpoint(short_run.iterations)) in evaluation.stdout


def test_the_same_seed_gives_the_figures_of_the_end_of_the_training(evaluation, short_run):
    summary = json.loads((short_run.path / "summary.json").read_text())
    found = figures(evaluation)
    assert found["held_out/success"] == [round(summary["success_after"], 3)]
    assert found["held_out/belief"][0] == round(summary["belief_after"], 3)
