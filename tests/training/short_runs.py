"""Short runs of `curio train` by the command line, for the tests of training."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from post_mortem import end_and_tell_where_it_was, last_lines

from curio_ray.dialogue import Dialogue
from curio_ray.log_files import DRIVER_LOG
from curio_ray.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]
SHORT = (
    "training.dialogues_per_iteration=16",
    "training.checkpoint_every=1",
    "training.keep_checkpoints=9",
    "evaluation.users=16",
)
DEADLINE_S = 300


def curio(*arguments: str) -> list[str]:
    """The command line of `curio` in this environment."""
    return [sys.executable, "-m", "curio_ray", *arguments]


def environment() -> dict[str, str]:
    """A person's, without what the tests set for themselves."""
    return {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}


def overrides(values: Sequence[str]) -> list[str]:
    """`--set` for each of the values."""
    return [part for value in values for part in ("--set", value)]


@dataclass
class FinishedRun:
    """A run folder with what the command printed."""

    path: Path
    printed: str

    @property
    def iterations(self) -> int:
        return self._read(lambda folder: folder.metrics()[-1]["iteration"])

    def dialogues(self, iteration: int) -> list[Dialogue]:
        return self._read(lambda folder: folder.read_dialogues(iteration))

    def metrics(self, iteration: int) -> dict:
        lines = self._read(RunFolder.metrics)
        return next(line for line in lines if line["iteration"] == iteration)

    def checkpoint(self, iteration: int) -> Path:
        return self.path / "checkpoints" / f"iteration-{iteration:06d}"

    def policy(self, iteration: int) -> Path:
        return self.checkpoint(iteration) / "trainer" / "policy"

    def _read(self, what: Callable[[RunFolder], Any]) -> Any:
        folder = RunFolder.open(self.path)
        try:
            return what(folder)
        finally:
            folder.close()


def train_two_iterations(config: str, path: Path, *changes: str) -> FinishedRun:
    """Run `curio train` into a new folder, short."""
    command = curio(
        "train", config, "--output", str(path),
        *overrides((*SHORT, "training.iterations=2", *changes)),
    )  # fmt: skip
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return FinishedRun(path, done.stdout)


class InterruptedRun:
    """A run that got SIGINT after its first iterations, and was then resumed for one more."""

    def __init__(self, path: Path, *changes: str, iterations: int = 1) -> None:
        self.path = path
        started = curio(
            "train", "configs/pocket.yaml", "--output", str(path),
            *overrides((*SHORT, "training.iterations=500", *changes)),
        )  # fmt: skip
        output = path.with_name(f"{path.name}.log")
        with output.open("w") as printed:
            process = subprocess.Popen(
                started, cwd=REPOSITORY, stdout=printed, stderr=subprocess.STDOUT,
                start_new_session=True, env=environment(),
            )  # fmt: skip
        try:
            self._wait_for_lines(iterations + 1, process)
            family = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            self.exit_code = process.wait(DEADLINE_S)
        except BaseException as error:
            error.add_note(end_and_tell_where_it_was(process))
            error.add_note(output.read_text() + last_lines(path / "logs" / DRIVER_LOG))
            raise
        self.printed = output.read_text()
        _, self.left_behind = psutil.wait_procs(family, timeout=20)
        self.stopped_at = self._last_iteration()
        last = self.stopped_at + 1
        resumed = curio("train", "--resume", str(path), "--set", f"training.iterations={last}")
        self.resumed = subprocess.run(
            resumed, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S,
            check=False, env=environment(),
        )  # fmt: skip

    def _wait_for_lines(self, count: int, process: subprocess.Popen[bytes]) -> None:
        metrics = self.path / "metrics.jsonl"
        give_up = time.monotonic() + DEADLINE_S
        while not metrics.exists() or len(metrics.read_text().splitlines()) < count:
            assert process.poll() is None, f"the run ended with exit code {process.returncode}"
            assert time.monotonic() < give_up, f"no {count} lines of metrics in {DEADLINE_S} s"
            time.sleep(0.2)

    def _last_iteration(self) -> int:
        folder = RunFolder.open(self.path)
        try:
            return folder.metrics()[-1]["iteration"]
        finally:
            folder.close()
