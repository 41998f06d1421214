"""A policy against the start policy of its run."""

import pytest
from made_dialogues import made

from curio_ray.config.evaluation import AlarmsConfig
from curio_ray.evaluation.course import Standing, course_monitors, read_start
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.run_folder import RunFolder
from curio_ray.tasks.exercise.task import ExerciseTask

START = Standing(success=0.3, policy_turns=6.0, verdict=0.3)
LOG_ACC = Standing(success=0.12, policy_turns=1.0, verdict=0.12)
DIFF_ACC = Standing(success=0.95, policy_turns=5.9, verdict=0.95)
HALF = [0.5, 0.5]


def alarms(figures) -> set[str]:
    return {name.split("/")[-1] for name, raised in figures.items() if "/alarm/" in name and raised}


@pytest.fixture
def one_turn():
    """Eight dialogues of one turn with other words each; one succeeds."""
    return [made([HALF], policy=[f"i recommend {n} ."], success=not n) for n in range(8)]


def test_dialogues_that_shrink_and_fail_more_often_than_at_the_start_are_told():
    found = course_monitors(LOG_ACC, START)
    assert found == pytest.approx({"turns_lost": 5 / 6, "success_lost": 0.18, "verdict_lost": 0.18})


def test_a_policy_that_got_better_has_lost_nothing():
    assert all(value < 0.05 for value in course_monitors(DIFF_ACC, START).values())


def test_without_verdicts_none_is_lost():
    now = Standing(success=0.9, policy_turns=6)
    assert "verdict_lost" not in course_monitors(now, START)


def test_the_alarms_of_a_policy_that_recommends_at_once(one_turn):
    figures = evaluation_metrics(one_turn, ExerciseTask(seed=0), AlarmsConfig(), 0, start=START)
    assert {"turns_lost", "success_lost"} <= alarms(figures)


def test_nothing_is_compared_with_a_start_that_nobody_knows(one_turn):
    figures = evaluation_metrics(one_turn, ExerciseTask(seed=0), AlarmsConfig(), 0)
    assert "held_out/monitor/turns_lost" not in figures


def test_the_start_is_read_from_the_run_folder_of_a_checkpoint(tmp_path, one_turn):
    from curio_ray.config import load_config

    run = RunFolder.create(tmp_path / "run", load_config("configs/pocket.yaml"))
    task, thresholds = ExerciseTask(seed=0), AlarmsConfig()
    run.write_metrics(0, evaluation_metrics(one_turn, task, thresholds, 0))
    with run.checkpoint(1):
        pass
    run.close()
    assert read_start(run.latest_checkpoint()) == Standing(success=1 / 8, policy_turns=1.0)


def test_a_checkpoint_away_from_its_run_has_no_start(tmp_path):
    assert read_start(tmp_path / "checkpoints" / "iteration-000001") is None
