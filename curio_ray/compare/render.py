"""A comparison's table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Table

from curio_ray.compare.table import BASELINE, Row, summarise


def render_table(rows: Sequence[Row]) -> Table:
    """One line per reward and varied value, means over seeds."""
    table = Table(title="Rewards compared", title_justify="left", title_style="bold", box=SIMPLE)
    summaries = summarise(rows)
    varied = any(each.value is not None for each in summaries)
    table.add_column("reward")
    if varied:
        table.add_column("value", justify="right")
    for column in ("seeds", "success, train", "held out", f"above {BASELINE}", "dialogues to it"):
        table.add_column(column, justify="right")
    for each in summaries:
        above, reached = each.above_baseline, each.dialogues_to_baseline
        table.add_row(
            each.reward,
            *([str(each.value)] if varied else []),
            str(each.seeds),
            f"{each.success_train:.3f}",
            f"{each.success_held_out:.3f}",
            "-" if above is None else f"{above:+.1f} points",
            "-" if reached is None else f"{reached:.0f}",
        )
    return table
