"""`curio sft`: a supervised start of the roles' models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from curio_ray.commands.common import ConfigFile, Overrides, not_an_address
from curio_ray.config import load_config
from curio_ray.config.supervised import RoleName
from curio_ray.errors import ConfigError
from curio_ray.log_files import output_to_file
from curio_ray.plan.task_walk import walk_demonstrations, walk_task
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task
from curio_ray.training.progress import ProgressDisplay

_SHOWN = {
    "policy": "loss",
    "environment": "loss",
    "user_model": "accuracy",
    "reward_model": "pair_accuracy",
}
_TITLES = {
    "loss": "nats per token",
    "accuracy": "accuracy of the type",
    "pair_accuracy": "pairs in the right order",
}


def sft(
    config_file: ConfigFile,
    roles: Annotated[
        list[str] | None, typer.Option("--role", help="One role; all by default. Repeatable.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the models, instead of the config's.", callback=not_an_address
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Give roles a supervised start on the task's recorded conversations, one model per role."""
    config = load_config(config_file, overrides or [])
    folder = output or config.supervised.output
    chosen = _chosen(roles)
    task = make_task(config.task, config.seed)
    walk_task(task, config.task.name)
    _check_recorded(task, chosen, config.task.name)
    walk_demonstrations(task, config.task.name)
    figures: dict[str, Mapping[str, Any]] = {}
    # with several GPUs in sight the Trainer would split every batch over them by threads
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    with (
        output_to_file(folder / "logs") as terminal,
        ProgressDisplay(Console(file=terminal)) as progress,
    ):
        progress.phase("loading libraries")
        from curio_ray.supervised.start import train_role

        for role in chosen:
            progress.phase(f"training the {role.replace('_', ' ')}")
            figures[role] = train_role(config, task, role, folder, progress.say)
    console = Console()
    console.print(_table(figures))
    console.print(f"models and figures are in {folder}", highlight=False, soft_wrap=True)


def _chosen(asked: list[str] | None) -> list[RoleName]:
    """The roles in the order in which one may start from another's model."""
    known: tuple[RoleName, ...] = get_args(RoleName)
    for role in asked or ():
        if role not in known:
            raise ConfigError(
                f"--role: there is no role '{role}'; write one of: {', '.join(known)}"
            )
    return [role for role in known if not asked or role in asked]


def _check_recorded(task: Task, roles: Sequence[RoleName], name: str) -> None:
    if not task.demonstrations("train"):
        raise ConfigError(
            f"task.name: '{name}' has no recorded conversations to learn from; name a task that "
            "has, or give yours Task.demonstrations"
        )
    if "reward_model" in roles and not task.preferences("train"):
        raise ConfigError(
            f"task.name: '{name}' has no pairs of conversations for the reward model; name a task "
            "that has, give yours Task.preferences, or choose other roles with --role"
        )


def _table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        title="On held-out conversations", title_justify="left", title_style="bold", box=SIMPLE
    )
    for column in ("role", "measure", "before", "after"):
        table.add_column(column, justify="right" if column in ("before", "after") else "left")
    for role, found in figures.items():
        shown = _SHOWN[role]
        values = ["-" if each is None else f"{each[shown]:.3f}" for each in _both(found)]
        table.add_row(role.replace("_", " "), _TITLES[shown], *values)
        if role == "user_model" and found["after"] is not None:
            turns = " ".join(f"{share:.2f}" for share in found["after"]["accuracy_by_turn"])
            table.add_row("", f"by exchange: {turns}", "", "")
    return table


def _both(found: Mapping[str, Any]) -> tuple[Any, Any]:
    return found["before"], found["after"]
