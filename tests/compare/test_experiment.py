"""`curio compare` as a whole: two short runs in Ray Tune, then the same command again."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 400


@dataclass
class Compared:
    """A comparison's folder and how the command ended."""

    folder: Path
    ended: subprocess.CompletedProcess[str]


def compare(folder: Path, rewards: str) -> Compared:
    command = [
        sys.executable, "-m", "curio_ray", "compare", "configs/pocket.yaml", "--output",
        str(folder), "--rewards", rewards, "--seeds", "1", "--parallel", "1",
    ]  # fmt: skip
    for value in (
        "training.iterations=2",
        "training.dialogues_per_iteration=8",
        "evaluation.users=8",
    ):
        command += ["--set", value]
    ended = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return Compared(folder, ended)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two rewards with one seed, two iterations of eight dialogues each."""
    folder = tmp_path_factory.mktemp("compare") / "runs"
    done = compare(folder, "mtrlhf,diff_acc")
    assert done.ended.returncode == 0, done.ended.stdout + done.ended.stderr
    return done


def test_the_table_has_a_row_per_reward_and_seed(compared):
    rows = json.loads((compared.folder / "table.json").read_text())
    assert [(row["reward"], row["seed"], row["dialogues"]) for row in rows] == [
        ("mtrlhf", 0, 16),
        ("diff_acc", 0, 16),
    ]
    assert all(0 <= row[f"success_{split}"] <= 1 for row in rows for split in ("train", "held_out"))


def test_report_and_plots_are_written(compared):
    names = {file.name for file in compared.folder.iterdir()}
    plots = {f"{n}.{e}" for n in ("success", "belief", "monitors") for e in ("svg", "png")}
    assert names >= {"report.html", *plots}


def test_every_run_leaves_its_metrics_and_a_checkpoint(compared):
    for run in ("mtrlhf-0", "diff_acc-0"):
        folder = compared.folder / "runs" / run
        lines = [json.loads(each) for each in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["iteration"] for line in lines] == [0, 1, 2]
        assert "monitor/turns_lost" in lines[1]
        assert (folder / "checkpoints" / "iteration-000002").is_dir()


def test_runs_without_a_result_go_on_from_their_checkpoint_and_others_are_not_repeated(compared):
    metrics = [compared.folder / "runs" / n / "metrics.jsonl" for n in ("mtrlhf-0", "diff_acc-0")]
    before = [file.read_text() for file in metrics]
    result = compared.folder / "runs" / "diff_acc-0" / "result.json"
    earlier = json.loads(result.read_text())
    result.unlink()
    again = compare(compared.folder, "mtrlhf,diff_acc")
    assert again.ended.returncode == 0, again.ended.stdout + again.ended.stderr
    assert "mtrlhf-0: starting" not in again.ended.stdout
    assert [file.read_text() for file in metrics] == before
    assert json.loads(result.read_text())["held_out"]["users"] == earlier["held_out"]["users"]


def test_a_finished_comparison_returns_without_training(compared):
    again = compare(compared.folder, "mtrlhf,diff_acc")
    assert again.ended.returncode == 0
    assert "starting" not in again.ended.stdout
    assert "diff_acc" in again.ended.stdout
