"""The run folder: config, metrics, summary, and who may write."""

import json

import pytest
from pydantic import ValidationError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curio_ray.errors import ConfigError, PreflightError
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.existing_runs import resume_config, set_aside

SUMMARY = {
    "task": "exercise",
    "intrinsic": "diff_acc",
    "seed": 0,
    "iterations": 60,
    "dialogues": 3840,
    "held_out_users": 256,
    "success_before": 0.24,
    "success_after": 0.7,
    "belief_before": 0.3,
    "belief_after": 0.8,
    "seconds_to_first_dialogue": 50.5,
    "seconds_total": 600.0,
    "seconds_since_resumed": None,
    "resumed_after": None,
    "peak_memory_bytes": 5 * 2**30,
    "alarms": [],
    "failed_dialogues": 0,
    "best_iteration": None,
}


def filled_run(path, config, iterations=(0, 1, 2, 3)) -> RunFolder:
    run = RunFolder.create(path, config)
    for iteration in iterations:
        run.write_metrics(iteration, {"success": iteration / 10})
    return run


def test_config_in_the_folder_is_the_whole_config(tmp_path, config):
    RunFolder.create(tmp_path / "run", config).close()
    assert RunFolder.open(tmp_path / "run").config == config


def test_metrics_are_one_line_per_iteration(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    assert [line["iteration"] for line in run.metrics()] == [0, 1, 2, 3]


def test_metrics_are_in_tensorboard(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    run.close()
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("success")] == [0, 1, 2, 3]


def test_a_note_that_no_longer_holds_is_taken_away(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    run.note({"ray_dashboard": "http://127.0.0.1:8265", "ray_job": "raysubmit_1"})
    run.note({"ray_dashboard": None, "ray_job": "raysubmit_2"})
    assert run.notes() == {"ray_job": "raysubmit_2"}


def test_trackers_may_change_when_a_run_is_resumed(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    with run.checkpoint(3) as folder:
        (folder / "weights").write_text("")
    resumed = resume_config(run.path, ["tracking.wandb={mode: offline}"])
    assert resumed.tracking.wandb.mode == "offline"


def test_a_metric_that_is_not_finite_becomes_null(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    run.write_metrics(1, {"kl": float("nan")})
    assert run.metrics() == [{"iteration": 1, "kl": None}]


def test_rewinding_forgets_later_iterations(tmp_path, config, dialogues):
    run = filled_run(tmp_path / "run", config)
    run.write_dialogues(2, dialogues)
    run.write_dialogues(3, dialogues)
    run.rewind(2)
    run.write_metrics(3, {"success": 0.9})
    assert [line["iteration"] for line in run.metrics()] == [0, 1, 2, 3]
    assert [path.name for path in (run.path / "dialogues").iterdir()] == [
        "iteration-000002.parquet"
    ]


def test_a_line_cut_off_by_a_crash_is_forgotten(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "succ')
    assert len(run.metrics()) == 4
    run.rewind(3)
    run.write_metrics(4, {})
    assert run.metrics()[-1] == {"iteration": 4}


def test_summary_holds_exactly_its_fields(tmp_path, config):
    run = RunFolder.create(tmp_path / "run", config)
    run.write_summary(SUMMARY)
    assert json.loads((run.path / "summary.json").read_text()) == SUMMARY
    assert run.summary().model_dump(mode="json") == SUMMARY


@pytest.mark.parametrize("change", [{"success_after": 1.5}, {"dialogues": -1}, {"speed": 3}])
def test_summary_refuses_impossible_figures(tmp_path, config, change):
    run = RunFolder.create(tmp_path / "run", config)
    with pytest.raises(ValidationError):
        run.write_summary(SUMMARY | change)


def test_a_run_is_never_overwritten(tmp_path, config):
    filled_run(tmp_path / "run", config).close()
    with pytest.raises(ConfigError, match=r"already holds a run.*--output .*run\.1.*--set-aside"):
        RunFolder.create(tmp_path / "run", config)


def test_a_run_that_never_began_is_reused(tmp_path, config):
    RunFolder.create(tmp_path / "run", config).close()
    RunFolder.create(tmp_path / "run", config)


def test_setting_aside_keeps_the_run_under_a_number(tmp_path, config):
    filled_run(tmp_path / "run", config).close()
    (tmp_path / "run.1").mkdir()
    assert set_aside(tmp_path / "run") == tmp_path / "run.2"
    assert len(RunFolder.open(tmp_path / "run.2").metrics()) == 4


def test_a_run_has_one_writer(tmp_path, config):
    running = filled_run(tmp_path / "run", config)
    with pytest.raises(PreflightError, match="another process is writing"):
        RunFolder.open(running.path)
    with pytest.raises(PreflightError, match="another process is writing"):
        set_aside(running.path)


def test_a_resumed_run_keeps_its_config(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    with run.checkpoint(3):
        pass
    assert resume_config(run.path, ["training.iterations=90"]).training.iterations == 90
    spread = resume_config(run.path, ["learner.ranks=2", "learner.zero_stage=3"]).learner
    assert (spread.ranks, spread.zero_stage) == (2, 3)
    with pytest.raises(ConfigError, match="a resumed run keeps its config"):
        resume_config(run.path, ["credit.discount=0.9"])


def test_a_complete_run_is_not_resumed_without_more_iterations(tmp_path, config):
    run = filled_run(tmp_path / "run", config)
    last = config.training.iterations
    with run.checkpoint(last):
        pass
    run.write_summary(SUMMARY)
    with pytest.raises(ConfigError, match=f"all {last} iterations are done"):
        resume_config(run.path, [])
    assert resume_config(run.path, [f"training.iterations={last + 1}"])
