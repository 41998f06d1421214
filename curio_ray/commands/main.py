"""The command line. Heavy libraries are imported only once a config has been found to work."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

import curio_ray
from curio_ray.commands.calibrate import calibrate
from curio_ray.commands.common import EXIT_ERROR
from curio_ray.commands.compare import compare
from curio_ray.commands.evaluate import evaluate
from curio_ray.commands.init import init
from curio_ray.commands.judge import judge
from curio_ray.commands.plan import show_plan
from curio_ray.commands.pocket import pocket_app
from curio_ray.commands.sft import sft
from curio_ray.commands.train import train
from curio_ray.errors import CurioError

app = typer.Typer(
    help="Train language models to get to know the person they talk with.",
    epilog="Exit codes: 0 done, 2 an error that says what to write instead, 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(init)
app.command()(train)
app.command()(evaluate)
app.command()(compare)
app.command()(sft)
app.command()(judge)
app.command()(calibrate)
app.command(name="plan")(show_plan)
app.add_typer(pocket_app, name="pocket")


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
