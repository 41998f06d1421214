"""What the commands share: options, changes of the config, the check before anything starts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from curio_ray.commands.completion import complete_config, complete_field
from curio_ray.config import RunConfig
from curio_ray.config.base import local_folder
from curio_ray.errors import ConfigError
from curio_ray.log_files import output_to_file
from curio_ray.plan import Plan, check_plan, make_plan, read_machine
from curio_ray.plan.check import check_models_are_here
from curio_ray.plan.preflight import check_preflight
from curio_ray.roles.plan_check import check_role_models
from curio_ray.serving.endpoint import check_endpoints
from curio_ray.tasks.base import Split
from curio_ray.training.progress import ProgressDisplay

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

CONFIG_HELP = "A run's YAML file, or the name of a packaged config, such as pocket."

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help=CONFIG_HELP, autocompletion=complete_config)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field, e.g. seed=1. Repeatable.",
        autocompletion=complete_field,
    ),
]
OutputFolder = Annotated[Path | None, typer.Option(help="The run folder, instead of the config's.")]
Address = Annotated[
    str | None, typer.Option(help="Join a running Ray cluster: auto, or its address.")
]
Users = Annotated[
    int | None, typer.Option(min=1, help="With how many users; as in the run by default.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the sampling; the run's by default.")
]


def not_an_address(path: Path | None) -> Path | None:
    """The folder that a command writes to, if it is one of this machine's file systems."""
    try:
        return path if path is None else local_folder(path)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def override(field: str, value: object) -> list[str]:
    """A change of one field as `--set` writes it, or none where there is no value."""
    return [] if value is None else [f"{field}={json.dumps(str(value))}"]


def all_changes(overrides: list[str] | None, address: str | None) -> list[str]:
    """All changes of the config that a command line asks for."""
    return [*(overrides or []), *override("cluster.address", address)]


def check_config(config: RunConfig, output: Path | None) -> Plan:
    """The plan of a run that this machine can hold, and whose endpoints answer.

    `output` is None where nothing is written.

    Raises:
        CurioError: it cannot work; the message names the fields.
    """
    plan = make_plan(config)
    check_plan(plan, read_machine())
    check_models_are_here(plan)
    check_role_models(plan)
    check_preflight(plan, output)
    check_endpoints(config.endpoints)
    return plan


def count_users(plan: Plan, split: Split, asked: int | None) -> int:
    """How many users of a split to talk with: as many as asked for, or as the config says.

    Raises:
        ConfigError: the split has fewer.
    """
    available = len(plan.task.users(split))
    if asked is not None and asked > available:
        raise ConfigError(
            f"--users: the run has {available} {split.replace('_', '-')} users; write at most that"
        )
    return min(plan.config.evaluation.users, available) if asked is None else asked


def shown(value: Any) -> str:
    """A figure, or several, as the tables show it."""
    if isinstance(value, list):
        return "  ".join(shown(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@contextmanager
def passing_progress() -> Iterator[ProgressDisplay]:
    """The display of a command that keeps no run folder; libraries are loaded inside.

    What they say goes to a file that is gone when the block ends.
    """
    with (
        tempfile.TemporaryDirectory(prefix="curio-") as logs,
        output_to_file(Path(logs)) as terminal,
        ProgressDisplay(Console(file=terminal)) as progress,
    ):
        progress.phase("loading libraries")
        yield progress
