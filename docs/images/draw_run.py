"""Draws a run as one picture: `python docs/images/draw_run.py RUN PICTURE.svg`."""

import json
import sys
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from curio_ray.compare.table import smooth
from curio_ray.run_folder.metrics import read_lines

INK = "#7d8590"
CURVES = (
    ("belief", "belief in the true type", "#2f81f7"),
    ("success", "success", "#db6d28"),
)


def draw(run: Path) -> Figure:
    """Success and belief of the training dialogues, and before and after with held-out users."""
    iterations = read_lines(run / "metrics.jsonl")[1:]
    summary = json.loads((run / "summary.json").read_text())
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    dialogues = [each["dialogues"] for each in iterations]
    for name, label, colour in CURVES:
        values = [each[name] for each in iterations]
        axes.plot(dialogues, values, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(dialogues, smooth(values), color=colour, linewidth=2.2, label=label)
        ends = [summary[f"{name}_before"], summary[f"{name}_after"]]
        axes.plot([0, dialogues[-1]], ends, "o", color=colour, clip_on=False)
    axes.plot([], [], "o", color=INK, linestyle="", label="with held-out users, before and after")
    axes.set(xlim=(0, dialogues[-1]), ylim=(0, 1), xlabel="training dialogues")
    axes.tick_params(colors=INK)
    axes.xaxis.label.set_color(INK)
    axes.grid(color=INK, alpha=0.2)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return figure


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "curio"
    figure = draw(Path(sys.argv[1]))
    figure.savefig(sys.argv[2], transparent=True, metadata={"Date": None})
