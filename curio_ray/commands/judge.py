"""`curio judge`: the win rates, then both policies' figures side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from curio_ray.commands.common import (
    Address,
    Overrides,
    Seed,
    Users,
    all_changes,
    check_config,
    count_users,
    passing_progress,
    shown,
)
from curio_ray.commands.completion import complete_run
from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError
from curio_ray.evaluation.served_policy import serving_two
from curio_ray.run_folder.checkpoints import policy_folder
from curio_ray.run_folder.existing_runs import CONFIG_FILE, find_checkpoint

if TYPE_CHECKING:
    from curio_ray.evaluation.judge import Judgement

_ALARM = "held_out/alarm/"
_MONITOR = "held_out/monitor/"
_FIGURES = ("success", "belief", "second_belief", "relevant_questions", "listening_gain")


def judge(
    first: Annotated[
        Path,
        typer.Argument(metavar="RUN_A", help="A run or a checkpoint.", autocompletion=complete_run),
    ],
    second: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="A run or a checkpoint.", autocompletion=complete_run),
    ],
    users: Users = None,
    seed: Seed = None,
    overrides: Overrides = None,
    address: Address = None,
) -> None:
    """Let two trained policies talk with the same held-out users and say whose talk is better.

    Task, users and all models but the second policy are those of RUN_A, changed by --set.
    """
    checkpoints = find_checkpoint(first), find_checkpoint(second)
    loaded = load_config(checkpoints[0] / CONFIG_FILE, all_changes(overrides, address))
    other = load_config(checkpoints[1] / CONFIG_FILE)
    _check_comparable(loaded, other)
    config, opponent = serving_two(
        loaded, policy_folder(checkpoints[0]), other, policy_folder(checkpoints[1])
    )
    count = count_users(check_config(config, output=None), "held_out", users)
    with passing_progress() as progress:
        from curio_ray.evaluation.judge import judge_policies

        seed = config.seed if seed is None else seed
        judgement = judge_policies(config, opponent, count, seed, progress.phase)
    Console().print(render_judgement(str(checkpoints[0]), str(checkpoints[1]), judgement))


def _check_comparable(first: RunConfig, second: RunConfig) -> None:
    if first.task.name != second.task.name:
        raise ConfigError(
            f"task.name: RUN_A is about '{first.task.name}' and RUN_B about "
            f"'{second.task.name}'; name two runs of one task"
        )


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
