"""Ctrl-C leaves a checkpoint and no process; --resume goes on from it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from short_runs import REPOSITORY, SHORT, curio, overrides

from curio_ray.run_folder import RunFolder

DEADLINE_S = 300


class InterruptedRun:
    """A run that got SIGINT after its first iteration, and was then resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        started = curio(
            "train", "configs/pocket.yaml", "--output", str(path),
            *overrides((*SHORT, "training.iterations=500")),
        )  # fmt: skip
        process = subprocess.Popen(
            started, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._wait_for_iterations(2)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        self.printed, _ = process.communicate(timeout=DEADLINE_S)
        self.exit_code = process.returncode
        _, self.left_behind = psutil.wait_procs(family, timeout=20)
        self.stopped_at = self._last_iteration()
        last = self.stopped_at + 1
        resumed = curio("train", "--resume", str(path), "--set", f"training.iterations={last}")
        self.resumed = subprocess.run(
            resumed, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def _wait_for_iterations(self, count: int) -> None:
        metrics = self.path / "metrics.jsonl"
        give_up = time.monotonic() + DEADLINE_S
        while not metrics.exists() or len(metrics.read_text().splitlines()) < count:
            assert time.monotonic() < give_up, "the run logged no iteration"
            time.sleep(0.2)

    def _last_iteration(self) -> int:
        folder = RunFolder.open(self.path)
        try:
            return folder.metrics()[-1]["iteration"]
        finally:
            folder.close()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> InterruptedRun:
    return InterruptedRun(tmp_path_factory.mktemp("runs") / "interrupted")


def test_an_interrupt_leaves_a_checkpoint_of_the_last_iteration(interrupted):
    name = f"iteration-{interrupted.stopped_at:06d}"
    assert (interrupted.path / "checkpoints" / name).is_dir()


def test_an_interrupt_leaves_no_process_behind(interrupted):
    assert interrupted.left_behind == []


def test_an_interrupt_ends_with_the_exit_code_of_sigint(interrupted):
    assert interrupted.exit_code == 128 + signal.SIGINT


def test_an_interrupted_run_says_how_to_resume(interrupted):
    assert f"--resume {interrupted.path}" in interrupted.printed.replace("\n", "")


def test_a_resumed_run_ends_well(interrupted):
    assert interrupted.resumed.returncode == 0, interrupted.resumed.stderr


def test_a_resumed_run_logs_each_iteration_once_and_repeats_no_dialogue(interrupted):
    folder = RunFolder.open(interrupted.path)
    numbers = [line["iteration"] for line in folder.metrics()]
    ids = [each.id for number in numbers[1:] for each in folder.read_dialogues(number)]
    folder.close()
    assert numbers == list(range(interrupted.stopped_at + 2))
    assert len(ids) == len(set(ids))


def test_a_resumed_run_goes_on_with_the_next_version(interrupted):
    folder = RunFolder.open(interrupted.path)
    dialogue = folder.read_dialogues(interrupted.stopped_at + 1)[0]
    folder.close()
    assert set(dialogue.policy_turns[0].weight_versions) == {interrupted.stopped_at}
