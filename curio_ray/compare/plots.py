"""The plots of a comparison. Lines are means over seeds, bands reach from lowest to highest.

Figures are made without pyplot, so that no display and no global state is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curio_ray.compare.runs import FinishedRun
from curio_ray.compare.table import baseline_level, smooth
from curio_ray.rollout.clock import ITERATION_PARTS

_COLUMNS = 3
_MONITOR = "monitor/"


def make_plots(runs: Sequence[FinishedRun], varied_path: str | None) -> dict[str, Figure]:
    """Each plot by the name of its file; `varied` only where the runs vary a field."""
    plots = {
        "success": plot_success(runs),
        "belief": plot_belief(runs),
        "monitors": plot_monitors(runs),
        "time": plot_time(runs),
    }
    return plots if varied_path is None else {"varied": plot_varied(runs, varied_path), **plots}


def write_plots(figures: dict[str, Figure], folder: Path) -> None:
    """Each figure as an SVG and as a PNG file."""
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=150)


def plot_success(runs: Sequence[FinishedRun]) -> Figure:
    """Smoothed success of the training dialogues against their number."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    _draw_rewards(axes, runs, lambda run: (run.dialogues, smooth(run.success)))
    for level in (baseline_level(runs, value) for value in {run.value for run in runs}):
        if level is not None:
            axes.axhline(level, color="black", linestyle=":", linewidth=1)
    _label(axes, "training dialogues", "success", "Success in training")
    axes.legend(fontsize=8)
    return figure


def plot_varied(runs: Sequence[FinishedRun], varied_path: str) -> Figure:
    """Final success against the varied field: solid for held-out users, dashed for trained ones."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    values = list(dict.fromkeys(str(run.value) for run in runs))
    for number, reward in enumerate(dict.fromkeys(run.reward for run in runs)):
        own = [run for run in runs if run.reward == reward]
        colour = colormaps["tab10"](number)
        for split, line in (("held_out", "-"), ("train", "--")):
            found = [
                [getattr(run, split)["success"] for run in own if str(run.value) == value]
                for value in values
            ]
            mean = [np.mean(each) if each else math.nan for each in found]
            label = f"{reward}, {split.replace('_', ' ')}"
            axes.plot(values, mean, line, marker="o", color=colour, label=label, linewidth=1.5)
            for value, each in zip(values, found, strict=True):
                axes.plot([value] * len(each), each, ".", color=colour, alpha=0.4, markersize=4)
    _label(axes, varied_path, "success", "After training")
    axes.legend(fontsize=8)
    return figure


def plot_belief(runs: Sequence[FinishedRun]) -> Figure:
    """Belief in the true type by exchange, in the final dialogues with held-out users."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    _draw_rewards(axes, runs, lambda run: _counted(run.held_out["belief_by_turn"]))
    _label(axes, "exchanges", "belief in the true type", "After training, held-out users")
    axes.legend(fontsize=8)
    return figure


def plot_monitors(runs: Sequence[FinishedRun]) -> Figure:
    """Each monitor of reward hacking over training, with the threshold of its alarm."""
    names = monitor_names(runs)
    rows = max(1, math.ceil(len(names) / _COLUMNS))
    figure = Figure(figsize=(4 * _COLUMNS, 2.8 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        _draw_rewards(axes, runs, partial(_monitor_curve, name=name))
        threshold = _threshold(runs, name)
        if threshold is not None:
            axes.axhline(threshold, color="black", linestyle=":", linewidth=1)
        _label(axes, "training dialogues", "", name.replace("_", " "))
        if place == 1:
            axes.legend(fontsize=7)
    return figure


def plot_time(runs: Sequence[FinishedRun]) -> Figure:
    """Seconds of an iteration by what they went to, in the mean over iterations and seeds."""
    names = list(dict.fromkeys(run.name for run in runs))
    figure = Figure(figsize=(7, 1.6 + 0.4 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(names))
    for number, part in enumerate(ITERATION_PARTS):
        seconds = np.array([_mean_metric(runs, name, part) for name in names])
        label = part.removeprefix("time/").replace("_", ", ")
        axes.barh(names, seconds, left=left, color=colormaps["tab10"](number), label=label)
        left += seconds
    axes.invert_yaxis()
    _label(axes, "seconds of an iteration", "", "Where the time goes")
    axes.legend(fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.3))
    return figure


def _mean_metric(runs: Sequence[FinishedRun], name: str, metric: str) -> float:
    lines = [line for run in runs if run.name == name for line in run.iterations]
    values = [line[metric] for line in lines if line.get(metric) is not None]
    return float(np.mean(values)) if values else 0.0


def monitor_names(runs: Sequence[FinishedRun]) -> list[str]:
    """The monitors that the runs logged while they trained, in order."""
    names = {key for run in runs for line in run.iterations for key in line}
    return sorted(name.removeprefix(_MONITOR) for name in names if name.startswith(_MONITOR))


def _draw_rewards(
    axes: Axes, runs: Sequence[FinishedRun], curve: Callable[[FinishedRun], tuple[Any, Any]]
) -> None:
    colours = colormaps["tab20" if len({run.name for run in runs}) > 10 else "tab10"]
    for number, name in enumerate(dict.fromkeys(run.name for run in runs)):
        drawn = [curve(run) for run in runs if run.name == name]
        length = min(len(y) for _, y in drawn)
        x = np.asarray(drawn[0][0][:length], float)
        y = np.array([values[:length] for _, values in drawn], float)
        axes.plot(x, y.mean(axis=0), color=colours(number), label=name, linewidth=1.5)
        axes.fill_between(
            x, y.min(axis=0), y.max(axis=0), color=colours(number), alpha=0.18, linewidth=0
        )


def _counted(values: Sequence[float]) -> tuple[range, Sequence[float]]:
    return range(len(values)), values


def _monitor_curve(run: FinishedRun, name: str) -> tuple[list[int], np.ndarray]:
    values = [line.get(f"{_MONITOR}{name}") for line in run.iterations]
    return run.dialogues, np.array([math.nan if each is None else each for each in values], float)


def _threshold(runs: Sequence[FinishedRun], name: str) -> float | None:
    found = (run.held_out.get(f"threshold/{name}") for run in runs)
    return next((value for value in found if value is not None), None)


def _label(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
