"""`curio evaluate` measures the policy of a finished run, without a learner."""

import os
import subprocess

import pytest
from short_runs import REPOSITORY, FinishedRun, curio

DEADLINE_S = 200


def evaluate(run: FinishedRun) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        curio("evaluate", str(run.path), "--seed", "7"), cwd=REPOSITORY, capture_output=True,
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
def first(short_run: FinishedRun) -> subprocess.CompletedProcess[str]:
    return evaluate(short_run)


def test_an_evaluation_ends_well_and_prints_success(first):
    assert first.returncode == 0, first.stdout + first.stderr
    (success,) = figures(first)["held_out/success"]
    assert 0 <= success <= 1


def test_an_evaluation_names_the_checkpoint(first, short_run):
    assert str(short_run.path / "checkpoints" / "iteration-000002") in first.stdout


def test_the_same_seed_gives_the_same_figures(first, short_run):
    assert figures(evaluate(short_run)) == figures(first) != {}
