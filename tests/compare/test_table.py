"""Smoothing, the way to the baseline's success, rows and summaries."""

from dataclasses import replace

import pytest
from made_runs import made_run

from curio_ray.compare.table import (
    baseline_level,
    dialogues_to_reach,
    make_table,
    smooth,
    summarise,
)


def test_smoothing_is_the_mean_of_a_value_and_those_before_it():
    assert smooth([1, 2, 6, 1], window=3) == pytest.approx([1, 1.5, 3, 3])


def test_smoothing_over_one_iteration_changes_nothing():
    assert smooth([0.25, 0.5, 0.0], window=1) == pytest.approx([0.25, 0.5, 0.0])


def test_the_level_is_first_reached_where_the_curve_equals_it():
    assert dialogues_to_reach([10, 20, 30], [0.2, 0.5, 0.9], 0.5) == 20


def test_a_level_that_is_never_reached_takes_no_number_of_dialogues():
    assert dialogues_to_reach([10, 20], [0.2, 0.4], 0.5) is None


def test_the_baseline_level_is_the_mean_end_of_its_smoothed_curves():
    runs = [made_run("mtrlhf", [0.2] * 5), made_run("mtrlhf", [0.0] * 5 + [0.6] * 5, seed=1)]
    assert baseline_level(runs) == pytest.approx(0.4)


def test_a_better_reward_reaches_the_baselines_end_with_fewer_dialogues():
    runs = [made_run("mtrlhf", [0.1, 0.2, 0.3, 0.4]), made_run("diff_acc", [0.1, 0.6, 0.8, 0.9])]
    assert [row.dialogues_to_baseline for row in make_table(runs)] == [40, 20]


def test_without_the_baseline_nothing_is_told_of_the_way_to_it():
    assert make_table([made_run("diff_acc", [0.9])])[0].dialogues_to_baseline is None


def test_a_row_holds_the_final_figures_of_both_splits():
    row = make_table([made_run("ent", [0.1, 0.2], seed=2, train=0.75, held_out=0.25)])[0]
    assert (row.reward, row.seed, row.success_train, row.success_held_out) == ("ent", 2, 0.75, 0.25)
    assert row.dialogues == 20


def test_a_summary_tells_the_points_above_the_baseline():
    runs = [
        made_run("mtrlhf", [0.1], held_out=0.5),
        made_run("acc", [0.1], held_out=0.6),
        made_run("acc", [0.1], seed=1, held_out=0.8),
    ]
    summary = summarise(make_table(runs))[1]
    assert summary.above_baseline == pytest.approx(20)
    assert (summary.lowest, summary.highest, summary.seeds) == (0.6, 0.8, 2)


def test_a_summary_tells_the_mean_listening_gain_where_the_task_tells_it():
    listening = [
        replace(run, held_out={**run.held_out, "listening_gain": gain})
        for run, gain in ((made_run("acc", [0.1]), 0.1), (made_run("acc", [0.1], seed=1), 0.3))
    ]
    without, with_gain = summarise(make_table([made_run("mtrlhf", [0.1]), *listening]))
    assert with_gain.listening_gain == pytest.approx(0.2)
    assert without.listening_gain is None


def test_a_summary_counts_the_seeds_that_reached_the_baseline():
    runs = [made_run("mtrlhf", [0.5]), made_run("acc", [0.6]), made_run("acc", [0.1], seed=1)]
    summary = summarise(make_table(runs))[1]
    assert (summary.dialogues_to_baseline, summary.reached) == (10, 1)


def test_a_run_is_compared_with_the_baseline_of_its_own_value():
    runs = [
        made_run("mtrlhf", [0.1, 0.2], held_out=0.2, value=16),
        made_run("mtrlhf", [0.1, 0.6], held_out=0.6, value=64),
        made_run("diff_acc", [0.3, 0.3], held_out=0.7, value=16),
        made_run("diff_acc", [0.3, 0.3], held_out=0.7, value=64),
    ]
    rows = make_table(runs)
    assert [row.dialogues_to_baseline for row in rows[2:]] == [10, None]
    above = [each.above_baseline for each in summarise(rows)[2:]]
    assert above == pytest.approx([50.0, 10.0])
