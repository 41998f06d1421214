"""Short runs of `curio train` by the command line, for the tests of training."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curio_ray.dialogue import Dialogue
from curio_ray.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]
SHORT = (
    "training.dialogues_per_iteration=16",
    "training.checkpoint_every=1",
    "training.keep_checkpoints=9",
    "evaluation.users=16",
)


def curio(*arguments: str) -> list[str]:
    """The command line of `curio` in this environment."""
    return [sys.executable, "-m", "curio_ray", *arguments]


def overrides(values: Sequence[str]) -> list[str]:
    """`--set` for each of the values."""
    return [part for value in values for part in ("--set", value)]


@dataclass
class FinishedRun:
    """A run folder with what the command printed."""

    path: Path
    printed: str

    def dialogues(self, iteration: int) -> list[Dialogue]:
        folder = RunFolder.open(self.path)
        try:
            return folder.read_dialogues(iteration)
        finally:
            folder.close()

    def metrics(self, iteration: int) -> dict:
        folder = RunFolder.open(self.path)
        try:
            return next(line for line in folder.metrics() if line["iteration"] == iteration)
        finally:
            folder.close()

    def policy(self, iteration: int) -> Path:
        return self.path / "checkpoints" / f"iteration-{iteration:06d}" / "trainer" / "policy"


def train_two_iterations(config: str, path: Path, *changes: str) -> FinishedRun:
    """Run `curio train` into a new folder, short."""
    command = curio(
        "train", config, "--output", str(path),
        *overrides((*SHORT, "training.iterations=2", *changes)),
    )  # fmt: skip
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return FinishedRun(path, done.stdout)
