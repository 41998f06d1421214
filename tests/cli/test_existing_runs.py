"""`curio train` where a run already is, and where none is."""

from pathlib import Path

from curio_ray.model_paths import locate_model

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


def earlier_run(folder: Path, checkpoint: bool) -> Path:
    run = folder / "runs" / "pocket"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(POCKET.read_text())
    (run / "metrics.jsonl").write_text('{"iteration": 0}\n')
    if checkpoint:
        (run / "checkpoints" / "iteration-000020").mkdir(parents=True)
    return run


def trained_elsewhere(folder: Path) -> Path:
    """A run with a trained policy, whose start policy is not on this machine."""
    run = folder / "run"
    checkpoint = run / "checkpoints" / "iteration-000020"
    (checkpoint / "trainer").mkdir(parents=True)
    start = POCKET.read_text().replace("pocket:policy", "./gone")
    (checkpoint / "config.yaml").write_text(start)
    (checkpoint / "trainer" / "policy").symlink_to(locate_model("pocket:policy"))
    return run


def test_an_earlier_run_is_not_overwritten_and_can_be_continued(curio, tmp_path):
    earlier_run(tmp_path, checkpoint=True)
    ended = curio("train", str(POCKET))
    assert ended.code == 2
    assert "curio train --resume runs/pocket" in ended.error
    assert "--output runs/pocket.1" in ended.error
    assert ended.heavy_modules == ["transformers"]


def test_an_earlier_run_without_checkpoint_is_not_offered_to_be_continued(curio, tmp_path):
    earlier_run(tmp_path, checkpoint=False)
    ended = curio("train", str(POCKET))
    assert ended.code == 2
    assert "--resume" not in ended.error


def test_resuming_nothing_is_an_error(curio):
    ended = curio("train", "--resume", "runs/none")
    assert ended.code == 2
    assert "runs/none: is not a run folder" in ended.error


def test_resuming_without_a_checkpoint_is_an_error(curio, tmp_path):
    earlier_run(tmp_path, checkpoint=False)
    ended = curio("train", "--resume", "runs/pocket")
    assert ended.code == 2
    assert "runs/pocket: holds no complete checkpoint" in ended.error


def test_resuming_with_another_config_is_an_error(curio, tmp_path):
    earlier_run(tmp_path, checkpoint=True)
    ended = curio("train", "--resume", "runs/pocket", "--set", "seed=3")
    assert ended.code == 2
    assert "--set seed=3: a resumed run keeps its config" in ended.error


def test_a_run_of_an_earlier_version_is_answered_with_the_names_of_this_one(curio, tmp_path):
    run = earlier_run(tmp_path, checkpoint=True)
    text = POCKET.read_text().replace(
        "name: exercise", "name: curio_ray.tasks.exercise:ExerciseTask"
    )
    (run / "config.yaml").write_text(text)
    (run / "checkpoints" / "iteration-000020" / "config.yaml").write_text(text)
    for command in (("train", "--resume"), ("evaluate",)):
        ended = curio(*command, "runs/pocket")
        assert ended.code == 2
        assert "ExerciseTask is called exercise; write that" in ended.error


def test_evaluating_nothing_is_an_error(curio):
    ended = curio("evaluate", "runs/none")
    assert ended.code == 2
    assert "runs/none: there is no such folder" in ended.error


def test_evaluating_more_users_than_there_are_is_an_error_and_needs_no_start_policy(
    curio, tmp_path
):
    ended = curio("evaluate", str(trained_elsewhere(tmp_path)), "--users", "300")
    assert ended.code == 2
    assert ended.error.startswith("--users: the run has 256 held-out users")
    assert ended.heavy_modules == ["torch", "transformers"]


def test_train_says_what_the_plan_doubts(curio, tmp_path):
    earlier_run(tmp_path, checkpoint=True)
    ended = curio("train", str(POCKET), "--set", "task.options.held_out_users=16")
    assert "warning: evaluation.users: the task has 16 held-out users" in ended.output
