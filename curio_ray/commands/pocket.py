"""`curio pocket`: the small models that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curio_ray.commands.common import not_an_address

pocket_app = typer.Typer(help="The small models that ship with the package.", no_args_is_help=True)


@pocket_app.command()
def build(
    output: Annotated[
        Path, typer.Option(help="Where to write the models.", callback=not_an_address)
    ] = Path("pocket"),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Rebuild the packaged models: tokenizer, data, training, model card."""
    from curio_ray.pocket.build import build as build_pocket

    build_pocket(output, seed)
