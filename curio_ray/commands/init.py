"""`curio init`: a config of one's own to change."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curio_ray.commands.common import not_an_address
from curio_ray.commands.completion import complete_config
from curio_ray.config import parse_config
from curio_ray.config.commented import commented_yaml
from curio_ray.config.extends import read_config_values
from curio_ray.config.packaged import find_config
from curio_ray.config.text_files import read_text
from curio_ray.errors import ConfigError

NEXT = """\
wrote {path}
what it needs:  curio plan {path}
train with it:  curio train {path}
every field:    python -m curio_ray.config.reference"""


def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to write it.", callback=not_an_address),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--config",
            metavar="NAME",
            help="A packaged config, or a YAML file.",
            autocompletion=complete_config,
        ),
    ] = "pocket",
) -> None:
    """Write a config to change: one file with every field's meaning beside it."""
    source = find_config(name)
    values = read_config_values(source)
    parse_config(values, source=name)
    path = folder / f"{source.stem}.yaml"
    header = _with_own_path(_header(source), source.stem, path)
    _write_new(path, commented_yaml(values, header))
    Console().print(NEXT.format(path=path), highlight=False, soft_wrap=True)


def _header(source: Path) -> str:
    """The comment at the top of a config."""
    lines = read_text(source, "a YAML file").splitlines()
    return "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))


def _with_own_path(header: str, name: str, path: Path) -> str:
    """The header with commands that take the new file in place of the packaged config."""
    return re.sub(
        rf"(curio \w+) {re.escape(name)}(?!\S)", lambda found: f"{found[1]} {path}", header
    )


def _write_new(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        taken = path if path.exists() else path.parent
        raise ConfigError(f"{taken}: is there already; name another folder") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); name another folder"
        ) from (error)
