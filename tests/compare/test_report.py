"""Plots and the page, from runs made by hand."""

import json
import re
from dataclasses import replace

from made_runs import made_run

from curio_ray.compare.plots import monitor_names, plot_success, plot_time, plot_varied
from curio_ray.compare.report import alarm_lines, find_alarms, write_report
from curio_ray.config import load_config
from curio_ray.rollout.clock import ITERATION_PARTS
from curio_ray.run_folder.alarms import AlarmSummary

RUNS = [
    made_run("mtrlhf", [0.1, 0.2]),
    made_run("diff_acc", [0.2, 0.6], alarm=True),
    made_run("diff_acc", [0.1, 0.8], seed=1),
]
CONFIG = load_config("configs/pocket.yaml")


def test_the_band_reaches_from_the_lowest_to_the_highest_seed():
    bands = plot_success(RUNS).axes[0].collections
    heights = [sorted({round(y, 6) for _, y in band.get_paths()[0].vertices}) for band in bands]
    assert heights[1] == [0.1, 0.2, 0.4, 0.45]


def test_the_parts_of_an_iteration_are_stacked_to_its_whole_length():
    parts = {name: 0.5 for name in ITERATION_PARTS}
    bars = plot_time([replace(RUNS[0], iterations=[parts, parts])]).axes[0].patches
    assert max(bar.get_x() + bar.get_width() for bar in bars) == 0.5 * len(ITERATION_PARTS)


def test_monitors_that_were_logged_are_drawn():
    assert monitor_names(RUNS) == ["type_entropy"]


def test_an_alarm_names_run_users_and_monitor():
    (alarm,) = find_alarms(RUNS)
    assert (alarm.run, alarm.seed, alarm.users) == ("diff_acc", 0, "held out")
    assert (alarm.monitor, alarm.value, alarm.threshold) == ("type_entropy", 0.4, 0.5)


SHRUNK = AlarmSummary(
    metric="monitor/turns_lost", first=7, last=80, iterations=74, furthest=0.83, threshold=0.5
)


def test_a_run_is_named_with_its_alarms_in_training_and_after_it():
    hacked = replace(RUNS[1], alarms=[SHRUNK])
    assert alarm_lines([RUNS[0], hacked]) == ["ALARM in diff_acc, seed 0: type_entropy, turns_lost"]


def test_the_page_names_alarms_of_training(tmp_path):
    write_report(tmp_path, CONFIG, [replace(RUNS[0], alarms=[SHRUNK])], missing=[])
    page = (tmp_path / "report.html").read_text()
    assert "monitor/turns_lost" in page
    assert "No monitor crossed" not in page


def test_the_page_says_so_where_nothing_was_crossed(tmp_path):
    write_report(tmp_path, CONFIG, [RUNS[0]], missing=[])
    assert "No monitor crossed its threshold" in (tmp_path / "report.html").read_text()


def test_the_page_needs_no_other_file(tmp_path):
    write_report(tmp_path, CONFIG, RUNS, missing=[])
    page = (tmp_path / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/svg+xml") for source in sources)


def test_the_page_names_the_runs_that_are_missing(tmp_path):
    write_report(tmp_path, CONFIG, RUNS, missing=["diff_ent-2"])
    assert "diff_ent-2" in (tmp_path / "report.html").read_text()


def test_every_plot_is_an_svg_and_a_png(tmp_path):
    write_report(tmp_path, CONFIG, RUNS, missing=[])
    names = {file.name for file in tmp_path.glob("*.*g")}
    plots = ("success", "belief", "monitors", "time")
    assert names == {f"{name}.{end}" for name in plots for end in ("svg", "png")}


def test_the_table_is_a_list_of_plain_rows(tmp_path):
    write_report(tmp_path, CONFIG, RUNS, missing=[])
    row = json.loads((tmp_path / "table.json").read_text())[0]
    assert row == {
        "reward": "mtrlhf", "seed": 0, "success_train": 0.5, "success_held_out": 0.5,
        "dialogues": 20, "dialogues_to_baseline": 20,
    }  # fmt: skip


VARIED = [made_run("diff_acc", [0.2], train=0.9, held_out=v / 100, value=v) for v in (16, 64)]


def test_success_is_drawn_against_the_varied_field_for_both_splits():
    lines = {line.get_label(): line for line in plot_varied(VARIED, "users").axes[0].lines}
    assert list(lines["diff_acc, held out"].get_ydata()) == [0.16, 0.64]
    assert list(lines["diff_acc, train"].get_ydata()) == [0.9, 0.9]


def test_the_table_of_varied_runs_tells_the_value(tmp_path):
    write_report(tmp_path, CONFIG, VARIED, missing=[])
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["value"] for row in rows] == [16, 64]
