"""Figures of an iteration against training.alarms and training.stops."""

import json
import math

import pytest

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.alarms import summarise_alarms
from curio_ray.run_folder.existing_runs import resume_config
from curio_ray.training.gates import Gates, crossings, stopped_by

POCKET = "configs/pocket.yaml"


def crossed(metrics, *overrides, section="alarms") -> list[str]:
    thresholds = getattr(load_config(POCKET, overrides).training, section)
    return [each.metric for each in crossings(1, metrics, thresholds, f"training.{section}")]


@pytest.fixture
def watched(tmp_path):
    """A run folder, what was said, and the gates in between."""
    config = load_config(POCKET, ["training.stops.update_kl=1"])
    run, said = RunFolder.create(tmp_path / "run", config), []
    yield run, said, Gates(config, run, said.append)
    run.close()


def test_a_difference_beyond_rounding_between_server_and_learner_stops_by_default():
    lfm2 = {"log_prob_difference_mean": 0.32}
    assert crossed(lfm2) == crossed(lfm2, section="stops") == ["log_prob_difference_mean"]


def test_rounding_in_bfloat16_raises_nothing():
    assert crossed({"log_prob_difference_mean": 0.01, "log_prob_difference_max": 0.3}) == []


def test_a_threshold_counts_for_each_role_of_its_figure():
    masses = {"label_mass/user_model": 7e-10, "label_mass/reward_model": 0.97}
    assert crossed(masses, section="stops") == ["label_mass/user_model"]


def test_a_figure_equal_to_its_threshold_raises_nothing():
    figures = {"label_mass/user_model": 0.1, "truncated_share": 0.2}
    assert crossed(figures) == []


def test_a_figure_that_is_not_finite_is_beyond_every_threshold():
    assert crossed({"update_kl": math.nan, "label_mass": math.nan}) == ["label_mass", "update_kl"]


def test_a_figure_that_the_run_does_not_have_is_skipped():
    assert crossed({"success": 0.0}) == []


def test_null_takes_a_threshold_away_and_leaves_the_others():
    figures = {"log_prob_difference_mean": 3.0, "label_mass": 0.0}
    field = "training.stops.log_prob_difference_mean=null"
    assert crossed(figures, field, section="stops") == ["label_mass"]


def test_an_unknown_figure_is_refused_with_its_path():
    with pytest.raises(
        ConfigError, match=r"training\.stops\.update_k: there is no such field; did"
    ):
        load_config(POCKET, ["training.stops.update_k=1"])


def test_both_sections_have_the_same_figures():
    training = load_config(POCKET).training
    assert type(training.alarms).model_fields.keys() == type(training.stops).model_fields.keys()


def test_an_alarm_is_said_when_it_comes_up_and_not_while_it_lasts(watched):
    _, said, gates = watched
    for iteration, value in enumerate([0.5, 0.6, 0.1, 0.7], start=1):
        gates.check(iteration, {"update_kl": value})
    assert [line.partition(":")[0] for line in said] == [
        "ALARM at iteration 1",
        "ALARM at iteration 4",
    ]
    assert "update_kl is 0.5; training.alarms.update_kl is 0.2" in said[0]


def test_alarms_are_kept_in_the_run_folder_and_summed_up(watched):
    run, _, gates = watched
    for iteration, value in enumerate([0.5, 0.1, 0.9], start=1):
        gates.check(iteration, {"update_kl": value})
    lines = [json.loads(line) for line in (run.path / "alarms.jsonl").read_text().splitlines()]
    assert [(each["iteration"], each["value"], each["threshold"]) for each in lines] == [
        (1, 0.5, 0.2),
        (3, 0.9, 0.2),
    ]
    (summary,) = summarise_alarms(run.alarms())
    assert (summary.metric, summary.first, summary.last) == ("update_kl", 1, 3)
    assert (summary.iterations, summary.furthest) == (2, 0.9)


def test_a_resumed_run_forgets_the_alarms_after_its_checkpoint(watched):
    run, _, gates = watched
    for iteration in (1, 2, 3):
        gates.check(iteration, {"update_kl": 0.5})
    run.rewind(2)
    assert [each.iteration for each in run.alarms()] == [1, 2]


def test_a_stop_names_figure_value_and_what_to_write_to_go_on(watched):
    _, _, gates = watched
    assert gates.check(1, {"update_kl": 0.9}) == []
    words = str(stopped_by(gates.check(2, {"update_kl": 1.5})))
    assert "stopped after iteration 2: update_kl is 1.5; training.stops.update_kl is 1" in words
    assert "--set training.stops.update_kl=null" in words


def test_a_stop_without_an_alarm_is_kept_as_well(tmp_path):
    config = load_config(POCKET, ["training.stops.empty_share=0", "training.alarms.empty_share=1"])
    run = RunFolder.create(tmp_path / "run", config)
    assert len(Gates(config, run, lambda line: None).check(1, {"empty_share": 0.5})) == 1
    assert [each.threshold_field for each in run.alarms()] == ["training.stops.empty_share"]
    run.close()


def test_a_resumed_run_may_change_thresholds(watched):
    run, _, _ = watched
    with run.checkpoint(1):
        pass
    changed = resume_config(run.path, ["training.stops.update_kl=null"])
    assert changed.training.stops.update_kl is None


def test_a_monitor_raises_its_alarm_by_the_mean_of_five_iterations(watched):
    run, said, gates = watched
    for iteration, lost in enumerate([0.9, 0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9], start=1):
        gates.check(iteration, {"monitor/turns_lost": lost})
    (alarm, *_) = run.alarms()
    assert (alarm.iteration, alarm.metric) == (7, "monitor/turns_lost")
    assert alarm.value == pytest.approx(0.58)
    assert "evaluation.alarms.turns_lost is 0.5" in said[0]


def test_a_resumed_run_averages_its_monitors_over_the_iterations_before(watched):
    run, said, _ = watched
    for iteration in range(5):
        run.write_metrics(iteration, {"monitor/turns_lost": 0.9})
    Gates(run.config, run, said.append).check(5, {"monitor/turns_lost": 0.9})
    assert [each.iteration for each in run.alarms()] == [5]


def test_a_monitor_that_was_not_there_all_the_time_raises_none(watched):
    run, _, gates = watched
    for iteration in range(1, 7):
        gates.check(iteration, {} if iteration == 4 else {"monitor/utterance_growth": 0.4})
    assert run.alarms() == []


def test_the_alarms_of_an_evaluation_are_said_and_kept(watched):
    run, said, gates = watched
    figures = {
        "held_out/monitor/turns_lost": 0.83, "held_out/threshold/turns_lost": 0.5,
        "held_out/alarm/turns_lost": 1, "held_out/alarm/persuasion": 0,
    }  # fmt: skip
    gates.evaluated(80, figures)
    assert [each.metric for each in run.alarms()] == ["held_out/monitor/turns_lost"]
    assert said[0].startswith("ALARM after iteration 80: held_out/monitor/turns_lost is 0.83")
