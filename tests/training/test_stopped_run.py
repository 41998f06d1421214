"""A run whose figure crosses training.stops ends with exit code 2, a checkpoint and the reason."""

import json
import subprocess

import pytest
from short_runs import REPOSITORY, SHORT, curio, environment, overrides

pytestmark = pytest.mark.slow

# no real run comes near it: rounding alone is above
STRICT = "training.stops.log_prob_difference_mean=1e-12"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of the pocket run under `rloo` with that stop, and how the command ended."""
    path = tmp_path_factory.mktemp("runs") / "stopped"
    groups = ("credit.estimator=rloo", "credit.group_size=4", "training.checkpoint_every=50")
    changes = (*SHORT, "training.iterations=3", *groups, STRICT)
    command = curio("train", "configs/pocket.yaml", "--output", str(path), *overrides(changes))
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False,
        env=environment(),
    )  # fmt: skip
    return path, done


def test_a_crossed_stop_ends_the_command_with_the_reason_and_exit_code_2(stopped):
    _, done = stopped
    assert done.returncode == 2, done.stdout + done.stderr
    assert "stopped after iteration 1: log_prob_difference_mean is" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_crossed_stop_leaves_the_iteration_saved_and_says_how_to_go_on(stopped):
    path, done = stopped
    assert (path / "checkpoints" / "iteration-000001" / "trainer" / "policy").is_dir()
    assert f"--resume {path}" in done.stderr.replace("\n", "")


def test_a_crossed_stop_is_in_the_run_folder(stopped):
    path, _ = stopped
    (line,) = [json.loads(each) for each in (path / "alarms.jsonl").read_text().splitlines()]
    assert (line["iteration"], line["metric"]) == (1, "log_prob_difference_mean")
