"""Options that several commands have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A run's YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. seed=1. Repeatable."),
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


def override(field: str, value: object) -> list[str]:
    """A change of one field as `--set` writes it, or none where there is no value."""
    return [] if value is None else [f"{field}={json.dumps(str(value))}"]


def all_changes(overrides: list[str] | None, address: str | None) -> list[str]:
    """All changes of the config that a command line asks for."""
    return [*(overrides or []), *override("cluster.address", address)]
