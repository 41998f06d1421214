"""How the tables of a plan look."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.table import Table

_NUMERIC = {"replicas", "threads", "GPUs", "size", "CPUs", "count", "parameters", "weights"} | {
    "KV cache", "training", "together", "tokens/s sampled", "tokens/s read",
}  # fmt: skip


def make_table(title: str, *columns: str) -> Table:
    """An empty table; columns of numbers are set to the right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE
    )
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMERIC else "left", overflow="fold")
    return table
