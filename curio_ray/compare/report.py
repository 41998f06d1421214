"""Writes what a comparison found: table.json, the plots, and report.html that holds them all."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from curio_ray.compare.plots import make_plots, write_plots
from curio_ray.compare.runs import BASELINE, FinishedRun, read_varied_path
from curio_ray.compare.table import Row, make_table, summarise
from curio_ray.config import RunConfig, dump_config
from curio_ray.run_folder.atomic import write_atomically

TABLE_FILE = "table.json"
REPORT_FILE = "report.html"
_TITLES = {
    "varied": "Success against the varied field",
    "success": "Success against dialogues",
    "belief": "Belief by turn",
    "monitors": "Monitors of reward hacking",
    "time": "Where the time of an iteration goes",
}
_ALARM = "alarm/"


@dataclass(frozen=True, slots=True)
class FinalAlarm:
    """A monitor that crossed its threshold in a run's final dialogues."""

    run: str
    seed: int
    users: str
    monitor: str
    value: float
    threshold: float


def write_report(
    folder: Path, config: RunConfig, runs: Sequence[FinishedRun], missing: Sequence[str]
) -> list[Row]:
    """Write table, plots and report, and return the table.

    Args:
        folder: the comparison's.
        config: what the runs have in common.
        runs: at least one.
        missing: names of the runs that are not finished.
    """
    rows = make_table(runs)
    write_atomically(folder / TABLE_FILE, json.dumps([_plain(row) for row in rows], indent=2))
    write_plots(make_plots(runs, read_varied_path(folder)), folder)
    write_atomically(folder / REPORT_FILE, render_report(folder, config, runs, rows, missing))
    return rows


def render_report(
    folder: Path,
    config: RunConfig,
    runs: Sequence[FinishedRun],
    rows: Sequence[Row],
    missing: Sequence[str],
) -> str:
    """One page of HTML that needs no other file; the plots are read from the folder."""
    pages = Environment(
        loader=PackageLoader("curio_ray.compare", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return pages.get_template("report.html.jinja").render(
        baseline=BASELINE,
        varied=read_varied_path(folder),
        config=config,
        config_text=dump_config(config),
        summaries=summarise(rows),
        rows=rows,
        alarms=find_alarms(runs),
        training_alarms=[(run, alarm) for run in runs for alarm in run.alarms],
        missing=missing,
        plots=[
            (name, title, base64.b64encode((folder / f"{name}.svg").read_bytes()).decode())
            for name, title in _TITLES.items()
            if (folder / f"{name}.svg").is_file()
        ],
    )


def _plain(row: Row) -> dict[str, object]:
    """A run in table.json, without what it does not tell: no value varied, no listening gain."""
    left_out = {name for name in ("value", "listening_gain") if getattr(row, name) is None}
    return {name: value for name, value in asdict(row).items() if name not in left_out}


def find_alarms(runs: Sequence[FinishedRun]) -> list[FinalAlarm]:
    """Every alarm in the final dialogues of every run, on users of either split."""
    return [
        FinalAlarm(
            run=run.name,
            seed=run.seed,
            users=users,
            monitor=(name := key.removeprefix(_ALARM)),
            value=measured[f"monitor/{name}"],
            threshold=measured[f"threshold/{name}"],
        )
        for run in runs
        for users, measured in (("train", run.train), ("held out", run.held_out))
        for key, raised in measured.items()
        if key.startswith(_ALARM) and raised
    ]


def alarm_lines(runs: Sequence[FinishedRun]) -> list[str]:
    """A line for each run with alarms, of its final dialogues or of training, that names them."""
    final = find_alarms(runs)
    lines = []
    for run in runs:
        own = [each.monitor for each in final if (each.run, each.seed) == (run.name, run.seed)]
        before = [each.metric.removeprefix("monitor/") for each in run.alarms]
        if names := list(dict.fromkeys([*own, *before])):
            lines.append(f"ALARM in {run.name}, seed {run.seed}: {', '.join(names)}")
    return lines
