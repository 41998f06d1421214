"""`curio evaluate`: the measures, then the monitors of reward hacking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
from curio_ray.evaluation.served_policy import serving
from curio_ray.run_folder.checkpoints import policy_folder
from curio_ray.run_folder.existing_runs import CONFIG_FILE, find_checkpoint, why_this_checkpoint
from curio_ray.run_folder.metrics import write_evaluation
from curio_ray.tasks.base import Split

TITLES: dict[Split, str] = {"held_out": "Held-out users", "train": "Training users"}


def evaluate(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", autocompletion=complete_run)],
    split: Annotated[
        Split, typer.Option(help="Users that training never saw, or those that it saw.")
    ] = "held_out",
    users: Users = None,
    seed: Seed = None,
    output: Annotated[
        Path | None, typer.Option(help="Also write the figures to this file, as JSON.")
    ] = None,
    overrides: Overrides = None,
    address: Address = None,
) -> None:
    """Measure a trained policy on users of a split and watch for reward hacking."""
    checkpoint = find_checkpoint(path)
    changes = all_changes(overrides, address)
    config = serving(load_config(checkpoint / CONFIG_FILE, changes), policy_folder(checkpoint))
    count = count_users(check_config(config, output=None), split, users)
    with passing_progress() as progress:
        from curio_ray.evaluation.course import read_start
        from curio_ray.evaluation.evaluate import evaluate_policy

        seed = config.seed if seed is None else seed
        start = read_start(checkpoint) if _as_at_the_start(config, checkpoint) else None
        result = evaluate_policy(config, split, count, seed, progress.phase, start)
    about = {"checkpoint": str(checkpoint), "split": split, "seed": seed}
    if output is not None:
        write_evaluation(output, {**about, **result})
    Console().print(render_evaluation(str(checkpoint), split, result, why_this_checkpoint(path)))


def _as_at_the_start(config: RunConfig, checkpoint: Path) -> bool:
    """Whether the run's own evaluations talk with such users, and in such a way."""
    own = load_config(checkpoint / CONFIG_FILE)
    return (config.task, config.evaluation.temperature) == (own.task, own.evaluation.temperature)


def render_evaluation(
    checkpoint: str, split: Split, metrics: Mapping[str, Any], why: str = ""
) -> Group:
    """The tables of one checkpoint's metrics on a split; `why` tells why it is this checkpoint."""
    kinds = (f"{split}/{kind}/" for kind in ("monitor", "threshold", "alarm"))
    monitor, threshold, alarm = kinds
    table = Table(title=TITLES[split], title_justify="left", show_header=False, box=SIMPLE)
    table.add_row("checkpoint", checkpoint)
    if why:
        table.add_row("", why)
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
