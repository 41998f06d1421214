"""The commands. Heavy libraries are imported only once a config has been found to work."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import curio_ray
from curio_ray.commands.calibrate import calibrate
from curio_ray.commands.check import check_config, count_users
from curio_ray.commands.judge import judge
from curio_ray.commands.options import (
    Address,
    ConfigFile,
    OutputFolder,
    Overrides,
    Seed,
    Users,
    all_changes,
    override,
)
from curio_ray.commands.plan import show_plan
from curio_ray.commands.sft import sft
from curio_ray.compare.at_once import runs_at_once
from curio_ray.compare.runs import (
    LOGS_FOLDER,
    is_finished,
    one_of_each_setting,
    open_comparison,
    parse_rewards,
    parse_varied,
    planned_runs,
    read_finished,
)
from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError, CurioError
from curio_ray.evaluation.checkpoint import policy_folder, serving
from curio_ray.evaluation.render import render_evaluation
from curio_ray.log_files import output_to_file
from curio_ray.plan import read_machine
from curio_ray.progress import ProgressDisplay
from curio_ray.run_folder.folder import (
    CONFIG_FILE,
    RunFolder,
    find_checkpoint,
    holds_a_run,
    set_aside,
)
from curio_ray.run_folder.resume import resume_config
from curio_ray.stop import StopRequest
from curio_ray.tasks.base import Split

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Train language models to get to know the person they talk with.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
pocket_app = typer.Typer(help="The small models that ship with the package.", no_args_is_help=True)
app.add_typer(pocket_app, name="pocket")
app.command()(sft)
app.command()(judge)
app.command()(calibrate)
app.command(name="plan")(show_plan)


def main() -> None:
    """Run the command line; an error that is ours ends it with code 2 and without a traceback."""
    try:
        app()
    except CurioError as error:
        Console(stderr=True).print(
            str(error), style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(EXIT_ERROR)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show it.")] = False) -> None:
    if version:
        print(f"curio {curio_ray.__version__}")
        raise typer.Exit


@app.command()
def train(
    config_file: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A run's YAML file.")
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue the run in this folder.")
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
            raise ConfigError("name a config, such as configs/pocket.yaml, or --resume RUN")
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


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT")],
    split: Annotated[
        Split, typer.Option(help="Users that training never saw, or those that it saw.")
    ] = "held_out",
    users: Users = None,
    seed: Seed = None,
    overrides: Overrides = None,
    address: Address = None,
) -> None:
    """Measure a trained policy on users of a split and watch for reward hacking."""
    checkpoint = find_checkpoint(path)
    changes = all_changes(overrides, address)
    config = serving(load_config(checkpoint / CONFIG_FILE, changes), policy_folder(checkpoint))
    count = count_users(check_config(config, output=None), split, users)
    with (
        tempfile.TemporaryDirectory(prefix="curio-evaluate-") as logs,
        output_to_file(Path(logs)) as terminal,
        ProgressDisplay(Console(file=terminal)) as progress,
    ):
        progress.phase("loading libraries")
        from curio_ray.evaluation.evaluate import evaluate_policy

        seed = config.seed if seed is None else seed
        result = evaluate_policy(config, split, count, seed, progress.phase)
    Console().print(render_evaluation(str(checkpoint), split, result))


@app.command()
def compare(
    config_file: ConfigFile,
    rewards: Annotated[str, typer.Option(metavar="NAME,...", help="Intrinsic rewards, by name.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs per reward, with seeds 0, 1, ...")] = 3,
    output: Annotated[
        Path | None, typer.Option(help="The comparison's folder; by default OUTPUT-compare.")
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(metavar="FIELD=V1,V2", help="Also compare these values of a field."),
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; by default what the machine holds.")
    ] = None,
    overrides: Overrides = None,
    address: Address = None,
) -> None:
    """Train several rewards with several seeds and compare them. Called again, it goes on."""
    changes = all_changes(overrides, address)
    config = load_config(config_file, changes)
    folder = output or config.output.with_name(f"{config.output.name}-compare")
    varied = None if vary is None else parse_varied(vary)
    runs = planned_runs(config, parse_rewards(rewards), seeds, folder, varied)
    missing = [run for run in runs if not is_finished(run)]
    if missing:
        plans = [check_config(run, folder) for run in one_of_each_setting(runs)]
        if parallel is None and config.cluster.address is None:
            parallel = min(runs_at_once(plan, read_machine()) for plan in plans)
    open_comparison(folder, config, varied)
    interrupted = False
    try:
        interrupted = bool(missing) and not _train_compared(missing, parallel, folder)
    finally:
        _report_comparison(folder, config, runs)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


@pocket_app.command()
def build(
    output: Annotated[Path, typer.Option(help="Where to write the models.")] = Path("pocket"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Rebuild the packaged models: tokenizer, data, training, model card."""
    from curio_ray.pocket.build import build as build_pocket

    build_pocket(output, seed)


def _train(run: RunFolder, resume: bool) -> None:
    stop = StopRequest()
    try:
        with output_to_file(run.logs) as terminal:
            console = Console(file=terminal)
            console.print(f"run folder {run.path}", highlight=False)
            with ProgressDisplay(console, run.config.training.iterations) as progress, stop:
                stop.say = progress.say
                progress.phase("loading libraries")
                from curio_ray.training import train as run_training

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


def _train_compared(missing: list[RunConfig], at_once: int | None, folder: Path) -> bool:
    """Whether the runs came to their end; False where they were interrupted."""
    with output_to_file(folder / LOGS_FOLDER) as terminal:
        progress = ProgressDisplay(Console(file=terminal))
        progress.say(f"{len(missing)} runs to go, at once: {at_once or 'what the cluster holds'}")
        from curio_ray.compare.experiment import train_runs

        try:
            return train_runs(missing, at_once, folder, progress.say)
        except KeyboardInterrupt:
            return False


def _report_comparison(folder: Path, config: RunConfig, runs: list[RunConfig]) -> None:
    finished = read_finished(folder)
    missing = [run.output.name for run in runs if not is_finished(run)]
    if missing:
        Console(stderr=True).print(
            f"not finished: {', '.join(missing)}; the same command goes on", highlight=False
        )
    if not finished:
        return
    from curio_ray.compare.render import render_table
    from curio_ray.compare.report import REPORT_FILE, write_report

    rows = write_report(folder, config, finished, missing)
    console = Console()
    console.print(render_table(rows))
    console.print(f"report {folder / REPORT_FILE}", highlight=False, soft_wrap=True)


def _say_how_to_resume(run: RunFolder) -> None:
    console = Console(stderr=True)
    if run.latest_checkpoint() is None:
        console.print("no checkpoint was saved yet; start the run anew", highlight=False)
        return
    console.print(f"continue with: curio train --resume {run.path}", highlight=False)
