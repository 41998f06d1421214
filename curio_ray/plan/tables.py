"""How the tables of a plan look."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.table import Table

from curio_ray.config.resources import Bundle

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


def bundle_table(title: str, wanted: Iterable[tuple[Bundle, str]]) -> Table:
    """Bundles with what each place asks for, and how the places of each lie."""
    rows = [(bundle, "; ".join(_where(bundle, how))) for bundle, how in wanted]
    placed = ["placement"] if any(where for _, where in rows) else []
    table = make_table(title, "actor", "count", "CPUs", "GPUs", *placed)
    for bundle, where in rows:
        cells = (bundle.actor, str(bundle.count), f"{bundle.cpus:g}", f"{bundle.gpus:g}")
        table.add_row(*cells, *([where] if placed else []))
    return table


def _where(bundle: Bundle, how: str) -> Iterable[str]:
    if how:
        yield how
    yield from (f"{name}={value}" for name, value in bundle.labels.items())
