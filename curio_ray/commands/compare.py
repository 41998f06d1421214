"""`curio compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from curio_ray.commands.common import (
    EXIT_INTERRUPTED,
    Address,
    ConfigFile,
    Overrides,
    all_changes,
    check_config,
    not_an_address,
)
from curio_ray.commands.completion import complete_rewards
from curio_ray.compare.runs import (
    BASELINE,
    LOGS_FOLDER,
    is_finished,
    one_of_each_setting,
    open_comparison,
    parse_rewards,
    parse_varied,
    planned_runs,
    read_finished,
    runs_at_once,
    with_clock_of,
)
from curio_ray.compare.table import Row, summarise
from curio_ray.config import RunConfig, load_config
from curio_ray.log_files import output_to_file
from curio_ray.plan import read_machine
from curio_ray.training.progress import ProgressDisplay


def compare(
    config_file: ConfigFile,
    rewards: Annotated[
        str,
        typer.Option(
            metavar="NAME,...", help="Rewards, or module:function.", autocompletion=complete_rewards
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs per reward, with seeds 0, 1, ...")] = 3,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The comparison's folder; by default OUTPUT-compare.", callback=not_an_address
        ),
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
    config = with_clock_of(folder, config)
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
    from curio_ray.compare.report import REPORT_FILE, alarm_lines, write_report

    rows = write_report(folder, config, finished, missing)
    console = Console()
    console.print(render_table(rows))
    for line in alarm_lines(finished):
        console.print(line, style="red", highlight=False, soft_wrap=True)
    console.print(f"report {folder / REPORT_FILE}", highlight=False, soft_wrap=True)


def render_table(rows: Sequence[Row]) -> Table:
    """One line per reward and varied value, means over seeds."""
    table = Table(title="Rewards compared", title_justify="left", title_style="bold", box=SIMPLE)
    summaries = summarise(rows)
    varied = any(each.value is not None for each in summaries)
    table.add_column("reward")
    if varied:
        table.add_column("value", justify="right")
    for column in (
        "seeds",
        "success, train",
        "held out",
        "listening",
        f"above {BASELINE}",
        "dialogues to it",
    ):
        table.add_column(column, justify="right")
    for each in summaries:
        above, reached = each.above_baseline, each.dialogues_to_baseline
        table.add_row(
            each.reward,
            *([str(each.value)] if varied else []),
            str(each.seeds),
            f"{each.success_train:.3f}",
            f"{each.success_held_out:.3f}",
            "-" if each.listening_gain is None else f"{each.listening_gain:+.3f}",
            "-" if above is None else f"{above:+.1f} points",
            "-" if reached is None else f"{reached:.0f}",
        )
    return table
