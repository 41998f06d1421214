"""A run that evaluates in its course, asynchronously, and what `curio evaluate` then takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from short_runs import REPOSITORY, FinishedRun, curio, environment, train_two_iterations

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    path = tmp_path_factory.mktemp("runs") / "evaluating"
    changes = (
        "training.iterations=3", "training.checkpoint_every=3", "training.keep_checkpoints=1",
        "training.max_staleness=1", "evaluation.every=2",
    )  # fmt: skip
    return train_two_iterations("configs/pocket.yaml", path, *changes)


@pytest.fixture(scope="module")
def written(run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """What `curio evaluate RUN --output FILE` wrote and printed."""
    file = tmp_path_factory.mktemp("evaluated") / "figures.json"
    done = subprocess.run(
        curio("evaluate", str(run.path), "--output", str(file)), cwd=REPOSITORY, timeout=300,
        capture_output=True, text=True, check=False, env={**environment(), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text()), done.stdout


def best_of(run: FinishedRun) -> int:
    return int((run.path / "checkpoints" / "best").readlink().name.split("-")[1])


def test_the_figures_are_in_the_lines_of_their_iterations(run):
    evaluated = [i for i in (1, 2, 3) if "held_out/success" in run.metrics(i)]
    assert evaluated == [2, 3]


def test_the_terminal_tells_of_every_evaluation(run):
    for iteration in (2, 3):
        assert f"held-out users after iteration {iteration}: success" in run.printed


def test_no_token_is_staler_than_the_bound_though_evaluations_come_between(run):
    assert max(run.metrics(iteration)["staleness_max"] for iteration in (1, 2, 3)) <= 1


def test_the_better_of_the_evaluated_iterations_has_its_checkpoint(run):
    def figures(iteration: int) -> tuple[float, float]:
        line = run.metrics(iteration)
        return line["held_out/success"], line["held_out/belief"]

    best = best_of(run)
    assert best == max((2, 3), key=figures)
    assert (run.policy(best) / "config.json").is_file()


def test_the_last_evaluation_is_whole_in_the_run_folder(run):
    written = json.loads((run.path / "evaluation.json").read_text())
    line = run.metrics(3)
    assert written["iteration"] == 3
    assert {k: v for k, v in written.items() if k.startswith("held_out/")} == {
        k: v for k, v in line.items() if k.startswith("held_out/")
    }
    assert {"held_out/success_interval", "held_out/alarm/overconfidence"} <= set(written)


def test_curio_evaluate_takes_the_best_checkpoint_and_says_why(run, written):
    figures, printed = written
    best = best_of(run)
    assert Path(figures["checkpoint"]).name == f"iteration-{best:06d}"
    assert ("the newest" if best == 3 else "the best on held-out users") in printed


def test_curio_evaluate_writes_the_figures_of_the_run_itself(run, written):
    line = run.metrics(best_of(run))
    assert written[0]["held_out/success"] == pytest.approx(line["held_out/success"])
    assert set(written[0]) - {"checkpoint", "split", "seed"} == {
        name for name in line if name.startswith("held_out/")
    }
