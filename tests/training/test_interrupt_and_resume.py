"""Ctrl-C leaves a checkpoint and no process; --resume goes on from it."""

import signal

import pytest

from curio_ray.run_folder import RunFolder

pytestmark = pytest.mark.slow


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


def test_the_summary_of_a_resumed_run_tells_its_own_time_from_that_of_the_whole_run(interrupted):
    folder = RunFolder.open(interrupted.path)
    seconds, summary = [line["run_seconds"] for line in folder.metrics()], folder.summary()
    folder.close()
    assert seconds == sorted(seconds)
    assert summary.resumed_after == interrupted.stopped_at
    before = seconds[interrupted.stopped_at]
    assert summary.seconds_total == pytest.approx(before + summary.seconds_since_resumed, abs=0.5)
    assert f"since the run went on after iteration {interrupted.stopped_at}" in " ".join(
        interrupted.resumed.stdout.split()
    )
