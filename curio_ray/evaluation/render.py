"""What `curio evaluate` prints: the measures, then the monitors of reward hacking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

PREFIX = "held_out/"
MONITOR, THRESHOLD, ALARM = (f"{PREFIX}{kind}/" for kind in ("monitor", "threshold", "alarm"))


def render_evaluation(checkpoint: str, metrics: Mapping[str, Any]) -> Group:
    """The tables of one checkpoint's held-out metrics."""
    return Group(_measures(checkpoint, metrics), _monitors(metrics))


def _measures(checkpoint: str, metrics: Mapping[str, Any]) -> Table:
    table = Table(title="Held-out users", title_justify="left", show_header=False, box=SIMPLE)
    table.add_row("checkpoint", checkpoint)
    for name, value in metrics.items():
        if not name.startswith((MONITOR, THRESHOLD, ALARM)):
            table.add_row(name, _shown(value))
    return table


def _monitors(metrics: Mapping[str, Any]) -> Table:
    table = Table(title="Monitors of reward hacking", title_justify="left", box=SIMPLE)
    for column in ("", "value", "threshold", ""):
        table.add_column(column, justify="right" if column else "left")
    for name, value in metrics.items():
        if name.startswith(MONITOR):
            kind = name.removeprefix(MONITOR)
            verdict = Text("ALARM", style="bold red") if metrics[ALARM + kind] else Text("ok")
            table.add_row(kind, _shown(value), _shown(metrics[THRESHOLD + kind]), verdict)
    return table


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "  ".join(_shown(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
