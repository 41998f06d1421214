"""`curio calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from curio_ray.commands.completion import complete_run
from curio_ray.run_folder.existing_runs import DIALOGUES_FOLDER, read_config

if TYPE_CHECKING:
    from curio_ray.evaluation.calibration import Calibration


def calibrate(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder.", autocompletion=complete_run)
    ],
    iterations: Annotated[
        int, typer.Option(min=1, help="From how many of the newest iterations to take dialogues.")
    ] = 10,
) -> None:
    """Fit the temperature of a run's user model to the dialogues that it recorded."""
    recorded_at = read_config(path).roles.user_model.temperature
    from curio_ray.evaluation.calibration import calibrate as fit
    from curio_ray.run_folder.dialogues import read_newest_dialogues

    fitted = fit(read_newest_dialogues(path / DIALOGUES_FOLDER, iterations), recorded_at)
    console = Console()
    console.print(_table(fitted, recorded_at))
    console.print(
        f"to use it, write roles.user_model.temperature: {fitted.temperature:.3f}", highlight=False
    )


def _table(fitted: Calibration, recorded_at: float) -> Table:
    title = f"User model, measured with {fitted.measured_users} users that the fit did not see"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    for name, before, after in (
        ("temperature", recorded_at, fitted.temperature),
        ("negative log-likelihood, nats", fitted.nll_before, fitted.nll_after),
        ("calibration error", fitted.error_before, fitted.error_after),
    ):
        table.add_row(name, f"{before:.3f}", f"{after:.3f}")
    return table
