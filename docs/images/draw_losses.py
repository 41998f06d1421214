"""Draws runs with different losses, and prints their table as Markdown.

python docs/images/draw_losses.py PICTURE.svg reinforce=RUN,RUN,RUN ppo=RUN,RUN,RUN
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from curio_ray.compare.table import smooth
from curio_ray.run_folder.metrics import read_lines

INK = "#7d8590"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of Okabe and Ito, told apart by colour-blind people."""
MARKS = (1280, 2560, 3840, 5120)
"""Numbers of dialogues that the table shows."""


def curves(runs: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Dialogues [iterations] and smoothed success of each run [runs, iterations]."""
    lines = [read_lines(run / "metrics.jsonl")[1:] for run in runs]
    success = [smooth([line["success"] for line in each]) for each in lines]
    return np.array([line["dialogues"] for line in lines[0]]), np.array(success)


def draw(losses: Mapping[str, Sequence[Path]]) -> Figure:
    """Success of the training dialogues: means over seeds, bands from lowest to highest."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for colour, (name, runs) in zip(COLOURS, losses.items(), strict=False):
        dialogues, success = curves(runs)
        axes.plot(dialogues, success.mean(axis=0), color=colour, linewidth=2.2, label=name)
        low, high = success.min(axis=0), success.max(axis=0)
        axes.fill_between(dialogues, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set(xlim=(0, MARKS[-1]), ylim=(0, 1), xlabel="training dialogues", ylabel="success")
    axes.tick_params(colors=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    axes.grid(color=INK, alpha=0.2)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return figure


def table(losses: Mapping[str, Sequence[Path]]) -> str:
    """Mean (lowest to highest): success while training at each mark, then with held-out users."""
    heads = ["loss", *(f"{mark:,}" for mark in MARKS), "held out, before", "held out, after"]
    rows = [heads, ["---"] * len(heads)]
    for name, runs in losses.items():
        dialogues, success = curves(runs)
        columns = [success[:, np.searchsorted(dialogues, mark)] for mark in MARKS]
        summaries = [json.loads((run / "summary.json").read_text()) for run in runs]
        columns += [
            np.array([summary[f"success_{when}"] for summary in summaries])
            for when in ("before", "after")
        ]
        rows.append([name, *map(_spread, columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "curio"
    named = (argument.split("=") for argument in sys.argv[2:])
    losses = {name: [Path(run) for run in runs.split(",")] for name, runs in named}
    draw(losses).savefig(sys.argv[1], transparent=True, metadata={"Date": None})
    sys.stdout.write(table(losses) + "\n")
