"""What `curio judge` prints: the win rates, then both policies' figures side by side."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from curio_ray.evaluation.judge import Judgement
from curio_ray.evaluation.render import shown

_ALARM = "held_out/alarm/"
_MONITOR = "held_out/monitor/"
_FIGURES = ("success", "belief", "second_belief", "relevant_questions", "adaptivity")


def render_judgement(first: str, second: str, judgement: Judgement) -> Group:
    """The tables of a judgement of the policies of two checkpoints."""
    return Group(f"A: {first}", f"B: {second}", _win_rates(judgement), _figures(judgement))


def _win_rates(judgement: Judgement) -> Table:
    table = Table(title="Win rate of A over B", title_justify="left", box=SIMPLE)
    columns = ("", "win rate", "95 %", "wins", "ties", "losses", "inconsistent", "first shown")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for name, found in judgement.win_rates.items():
        counts = (str(each) for each in (found.wins, found.ties, found.losses))
        orders = (
            "-" if share is None else shown(share)
            for share in (found.inconsistent, found.first_shown)
        )
        table.add_row(name, shown(found.rate), shown(list(found.interval)), *counts, *orders)
    return table


def _figures(judgement: Judgement) -> Table:
    table = Table(title="Held-out users", title_justify="left", box=SIMPLE)
    for column in ("", "A", "B"):
        table.add_column(column, justify="right" if column else "left")
    runs = (judgement.first, judgement.second)
    for name in _FIGURES:
        if any(f"held_out/{name}" in run for run in runs):
            table.add_row(name, *(shown(run.get(f"held_out/{name}", "-")) for run in runs))
    monitors = dict.fromkeys(name for run in runs for name in run if name.startswith(_MONITOR))
    for name in monitors:
        kind = name.removeprefix(_MONITOR)
        cells = []
        for run in runs:
            alarm = bool(run.get(_ALARM + kind))
            style = "bold red" if alarm else ""
            cells.append(Text(shown(run.get(name, "-")) + (" ALARM" if alarm else ""), style))
        table.add_row(kind, *cells)
    return table
