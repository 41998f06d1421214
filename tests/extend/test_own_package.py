"""A user's package adds a task, a reward and a loss; nothing of ours is touched.

It holds the documented examples, and is found as an installed package is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curio_ray.run_folder import RunFolder

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "docs" / "extend" / "examples"
METADATA = "Metadata-Version: 2.1\nName: drinks\nVersion: 1.0\n"
# the packaged models know 128 words, and no capital letters
POCKET_GUESTS = """
from dataclasses import replace

from drinks.tea_or_coffee import TeaOrCoffee


class PocketGuests(TeaOrCoffee):
    def user_model_prompt(self):
        return replace(super().user_model_prompt(), labels=("no", "yes"))
"""
ENTRY_POINTS = "[curio_ray.rewards]\nsurprise = drinks.surprise_reward:surprise\n"
VALUES = (
    "task.name=drinks.pocket_guests:PocketGuests",
    "task.options={guests: 16, turns: 3}",
    "rewards.intrinsic={name: surprise, weight: 0.5, clip: 0.9}",
    'learner.loss={name: custom, function: "drinks.masked_loss:masked", options: {high: 1.0}}',
    "servers.frozen.max_model_len=512",
    "training.iterations=2",
    "training.dialogues_per_iteration=8",
    "evaluation.users=8",
)


def install(folder: Path) -> None:
    """Put the package and its metadata where Python looks for packages."""
    package, metadata = folder / "drinks", folder / "drinks-1.0.dist-info"
    for each in (package, metadata):
        each.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for example in EXAMPLES.glob("*.py"):
        (package / example.name).write_text(example.read_text())
    (package / "pocket_guests.py").write_text(POCKET_GUESTS)
    (metadata / "METADATA").write_text(METADATA)
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two iterations with all that the package adds."""
    folder = tmp_path_factory.mktemp("own")
    install(folder / "site")
    paths = [str(folder / "site"), os.environ.get("PYTHONPATH", "")]
    overrides = [part for value in VALUES for part in ("--set", value)]
    command = [sys.executable, "-m", "curio_ray", "train", "configs/pocket.yaml"]
    done = subprocess.run(
        [*command, "--output", str(folder / "run"), *overrides],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def folder(run: Path) -> RunFolder:
    opened = RunFolder.open(run)
    yield opened
    opened.close()


def test_a_run_trains_with_a_package_of_the_user(folder):
    assert [line["iteration"] for line in folder.metrics()] == [0, 1, 2]


def test_every_turn_is_paid_by_the_users_reward_clipped_and_not_yet_weighted(folder):
    for dialogue in folder.read_dialogues(2):
        beliefs = dialogue.beliefs()
        moved = np.abs(np.diff(beliefs, axis=0)).sum(axis=1) / 2
        paid = [turn.rewards["intrinsic"] for turn in dialogue.policy_turns]
        np.testing.assert_allclose(paid, np.minimum(moved, 0.9), atol=1e-6)


def test_the_metrics_hold_the_mean_of_the_users_reward(folder):
    for line in folder.metrics()[1:]:
        held = folder.read_dialogues(line["iteration"])
        earned = [sum(turn.rewards["intrinsic"] for turn in each.policy_turns) for each in held]
        assert line["reward/intrinsic"] == pytest.approx(np.mean(earned))
        assert line["reward/intrinsic"] > 0


def test_the_metrics_hold_what_the_users_loss_says_of_itself(folder):
    for line in folder.metrics()[1:]:
        assert 0 < line["masked_share"] < 1


def test_the_example_of_a_task_is_under_a_hundred_lines():
    assert len((EXAMPLES / "tea_or_coffee.py").read_text().splitlines()) < 100
