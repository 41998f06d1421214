"""What `curio evaluate` prints: the measures, then the monitors of reward hacking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from curio_ray.tasks.base import Split

TITLES: dict[Split, str] = {"held_out": "Held-out users", "train": "Training users"}


def render_evaluation(checkpoint: str, split: Split, metrics: Mapping[str, Any]) -> Group:
    """The tables of one checkpoint's metrics on a split."""
    kinds = (f"{split}/{kind}/" for kind in ("monitor", "threshold", "alarm"))
    monitor, threshold, alarm = kinds
    table = Table(title=TITLES[split], title_justify="left", show_header=False, box=SIMPLE)
    table.add_row("checkpoint", checkpoint)
    for name, value in metrics.items():
        if not name.startswith((monitor, threshold, alarm)):
            table.add_row(name, shown(value))
    return Group(table, _monitors(metrics, monitor, threshold, alarm))


def _monitors(metrics: Mapping[str, Any], monitor: str, threshold: str, alarm: str) -> Table:
    table = Table(title="Monitors of reward hacking", title_justify="left", box=SIMPLE)
    for column in ("", "value", "threshold", ""):
        table.add_column(column, justify="right" if column else "left")
    for name, value in metrics.items():
        if name.startswith(monitor):
            kind = name.removeprefix(monitor)
            verdict = Text("ALARM", style="bold red") if metrics[alarm + kind] else Text("ok")
            table.add_row(kind, shown(value), shown(metrics[threshold + kind]), verdict)
    return table


def shown(value: Any) -> str:
    """A figure, or several, as the tables show it."""
    if isinstance(value, list):
        return "  ".join(shown(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
