"""`curio judge`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curio_ray.commands.check import check_config, count_users
from curio_ray.commands.options import Address, Overrides, Seed, Users, all_changes
from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError
from curio_ray.evaluation.checkpoint import policy_folder, serving_two
from curio_ray.log_files import output_to_file
from curio_ray.progress import ProgressDisplay
from curio_ray.run_folder.folder import CONFIG_FILE, find_checkpoint


def judge(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run or a checkpoint.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="A run or a checkpoint.")],
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
    with (
        tempfile.TemporaryDirectory(prefix="curio-judge-") as logs,
        output_to_file(Path(logs)) as terminal,
        ProgressDisplay(Console(file=terminal)) as progress,
    ):
        progress.phase("loading libraries")
        from curio_ray.evaluation.judge import judge_policies
        from curio_ray.evaluation.render_judgement import render_judgement

        seed = config.seed if seed is None else seed
        judgement = judge_policies(config, opponent, count, seed, progress.phase)
    Console().print(render_judgement(str(checkpoints[0]), str(checkpoints[1]), judgement))


def _check_comparable(first: RunConfig, second: RunConfig) -> None:
    if first.task.name != second.task.name:
        raise ConfigError(
            f"task.name: RUN_A is about '{first.task.name}' and RUN_B about "
            f"'{second.task.name}'; name two runs of one task"
        )
