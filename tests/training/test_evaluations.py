"""When a run is evaluated, where its figures go, and whose checkpoint stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curio_ray.config import load_config
from curio_ray.run_folder import RunFolder
from curio_ray.training.evaluations import Evaluations

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
ITERATIONS = 6


class PrescribedPolicy:
    """A fake: its success and belief at each iteration are prescribed; checkpoints are empty."""

    def __init__(self, successes: list[float], beliefs: list[float] | None = None) -> None:
        self.iteration = 0
        self.asked: list[int] = []
        self._successes = successes
        self._beliefs = beliefs or [0.5] * len(successes)

    def measure(self, users: int) -> dict[str, Any]:
        self.asked.append(self.iteration)
        index = self.iteration - 1
        return {
            "held_out/users": users,
            "held_out/success": self._successes[index],
            "held_out/success_interval": [0.0, 1.0],
            "held_out/belief": self._beliefs[index],
        }

    def save_into(self, run: RunFolder) -> None:
        with run.checkpoint(self.iteration):
            pass


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "run", every=2)


def make_run(path: Path, every: int) -> RunFolder:
    changes = (
        f"training.iterations={ITERATIONS}", "training.keep_checkpoints=1", "evaluation.users=8",
        f"evaluation.every={every}", f"output={path}",
    )  # fmt: skip
    return RunFolder.create(path, load_config(POCKET, changes))


def train(run: RunFolder, policy: PrescribedPolicy, until: int = ITERATIONS) -> None:
    """The iterations up to one of them, each logged and then evaluated where that is due."""
    evaluations = Evaluations(policy, run.config, run)
    if policy.iteration:
        evaluations.after(policy.iteration)
    while policy.iteration < until:
        policy.iteration += 1
        run.write_metrics(policy.iteration, {"success": 0.1})
        evaluations.after(policy.iteration)


def evaluated(run: RunFolder) -> list[int]:
    return [line["iteration"] for line in run.metrics() if "held_out/success" in line]


def test_evaluations_come_every_so_many_iterations_and_after_the_last(tmp_path):
    run = make_run(tmp_path / "run", every=4)
    policy = PrescribedPolicy([0.1] * ITERATIONS)
    train(run, policy)
    assert policy.asked == evaluated(run) == [4, 6]


def test_by_default_only_the_last_iteration_is_evaluated_and_none_is_marked(tmp_path):
    run = make_run(tmp_path / "run", every=0)
    policy = PrescribedPolicy([0.1] * ITERATIONS)
    train(run, policy)
    assert evaluated(run) == [6]
    assert run.best_checkpoint() is None


def test_the_checkpoint_of_the_highest_success_is_kept(run):
    train(run, PrescribedPolicy([0.0, 0.2, 0.9, 0.6, 0.9, 0.4]))
    assert run.best_checkpoint().name == "iteration-000004"


def test_of_equal_success_the_higher_belief_is_kept(run):
    train(run, PrescribedPolicy([0.5] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.3]))
    assert run.best_checkpoint().name == "iteration-000004"


def test_of_equal_figures_the_earliest_is_kept(run):
    train(run, PrescribedPolicy([0.5] * 6))
    assert run.best_checkpoint().name == "iteration-000002"


def test_a_resumed_run_evaluates_no_iteration_twice(run):
    policy = PrescribedPolicy([0.5] * 6)
    train(run, policy, until=4)
    train(run, policy)
    assert policy.asked == [2, 4, 6]


def test_an_evaluation_that_an_interruption_left_out_is_made_up_for(run):
    policy = PrescribedPolicy([0.5] * 6)
    policy.iteration = 2
    run.write_metrics(2, {"success": 0.1})
    policy.save_into(run)
    train(run, policy)
    assert evaluated(run) == [2, 4, 6]


def test_a_best_checkpoint_that_an_interruption_left_unmarked_is_marked(run):
    policy = PrescribedPolicy([0.5] * 6)
    policy.iteration = 2
    run.write_metrics(2, {"held_out/success": 0.9, "held_out/belief": 0.5})
    policy.save_into(run)
    train(run, policy)
    assert policy.asked == [4, 6]
    assert run.best_checkpoint().name == "iteration-000002"


def test_the_whole_last_evaluation_is_in_a_file_of_its_own(run):
    policy = PrescribedPolicy([0.5] * 6)
    train(run, policy)
    Evaluations(policy, run.config, run).write(ITERATIONS)
    assert json.loads((run.path / "evaluation.json").read_text()) == {
        "iteration": 6, "split": "held_out", "seed": 0, "held_out/users": 8,
        "held_out/success": 0.5, "held_out/success_interval": [0.0, 1.0], "held_out/belief": 0.5,
    }  # fmt: skip
