"""`curio train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curio_ray.commands.common import (
    CONFIG_HELP,
    EXIT_INTERRUPTED,
    Address,
    OutputFolder,
    Overrides,
    all_changes,
    check_config,
    override,
)
from curio_ray.commands.completion import complete_config, complete_run
from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.log_files import output_to_file
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.existing_runs import holds_a_run, resume_config, set_aside
from curio_ray.training.progress import ProgressDisplay
from curio_ray.training.stop import StopRequest


def train(
    config_file: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help=CONFIG_HELP, autocompletion=complete_config),
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Continue the run in this folder.", autocompletion=complete_run
        ),
    ] = None,
    output: OutputFolder = None,
    address: Address = None,
    aside: Annotated[
        bool, typer.Option("--set-aside", help="Rename an earlier run in the same folder first.")
    ] = False,
) -> None:
    """Train. Ctrl-C finishes the iteration and saves; --resume continues."""
    changes = all_changes(overrides, address)
    if resume is not None:
        if config_file is not None or output is not None:
            raise ConfigError("--resume takes the config from the run: give no CONFIG or --output")
        config, path = resume_config(resume, changes), resume
    else:
        if config_file is None:
            raise ConfigError("name a config, such as pocket, or --resume RUN")
        config = load_config(config_file, [*changes, *override("output", output)])
        path = config.output
    plan = check_config(config, path)
    console = Console()
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    if resume is None and aside and holds_a_run(path):
        moved = set_aside(path)
        console.print(f"an earlier run was moved to {moved}", highlight=False)
    run = RunFolder.create(path, config) if resume is None else RunFolder.open(path, changes)
    try:
        _train(run, resume=resume is not None)
    finally:
        run.close()


def _train(run: RunFolder, resume: bool) -> None:
    stop = StopRequest()
    try:
        with output_to_file(run.logs) as terminal:
            console = Console(file=terminal)
            console.print(f"run folder {run.path}", highlight=False)
            with ProgressDisplay(console, run.config.training.iterations) as progress, stop:
                stop.say = progress.say
                progress.phase("loading libraries")
                from curio_ray.training.train_loop import train as run_training

                summary = run_training(run.config, run, progress, resume, stop)
    except KeyboardInterrupt:
        _say_how_to_resume(run)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except Exception:
        Console(stderr=True).print(f"the logs are in {run.logs}", highlight=False)
        _say_how_to_resume(run)
        raise
    if summary is None:
        _say_how_to_resume(run)
        raise typer.Exit(EXIT_INTERRUPTED)


def _say_how_to_resume(run: RunFolder) -> None:
    console = Console(stderr=True)
    if run.latest_checkpoint() is None:
        console.print("no checkpoint was saved yet; start the run anew", highlight=False)
        return
    console.print(f"continue with: curio train --resume {run.path}", highlight=False)
