"""What the shell offers after `curio --install-completion`. Nothing heavy is imported for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from curio_ray.config.base import section_classes
from curio_ray.config.packaged import packaged_names
from curio_ray.config.run import RunConfig
from curio_ray.rewards.registry import reward_names
from curio_ray.run_folder.existing_runs import CONFIG_FILE


def complete_config(incomplete: str) -> list[str]:
    """Packaged configs by name, and YAML files; a shell offers its own files where none fits."""
    names = [name for name in packaged_names() if name.startswith(incomplete)]
    return names + [each for each in _here(incomplete) if each.endswith((".yaml", ".yml", "/"))]


def complete_run(incomplete: str) -> list[str]:
    """Folders that hold a run, in the folder that is typed and in `runs`."""
    places = {incomplete} if "/" in incomplete else {incomplete, "runs/"}
    found = {each for place in places for each in _here(place) if _is_run(each)}
    return sorted(each.rstrip("/") for each in found if each.startswith(incomplete))


def complete_rewards(incomplete: str) -> list[str]:
    """The list of intrinsic rewards with the name behind the last comma completed."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    names = (name for name in reward_names() if name.startswith(last))
    return [f"{before}{comma}{name}" for name in names if name not in given]


def complete_field(incomplete: str) -> list[str]:
    """Paths of fields for --set, one level at a time; names of servers are not known here."""
    *parents, last = incomplete.split(".")
    kind: Any = RunConfig
    for name in parents:
        kind = get_args(kind)[1] if get_origin(kind) is dict else _fields(kind).get(name)
    return [
        ".".join((*parents, name)) + ("." if _has_fields(below) else "=")
        for name, below in _fields(kind).items()
        if name.startswith(last)
    ]


def _fields(kind: Any) -> dict[str, Any]:
    """The types of a section's fields by name, of all sections where there is a choice."""
    fields = (each.model_fields.items() for each in section_classes(kind))
    return {name: field.annotation for name, field in itertools.chain.from_iterable(fields)}


def _has_fields(kind: Any) -> bool:
    return get_origin(kind) is dict or bool(section_classes(kind))


def _here(incomplete: str) -> Iterator[str]:
    """Paths that begin with what is typed; those of folders end with a slash."""
    folder, slash, start = incomplete.rpartition("/")
    place = Path(folder + slash).expanduser()
    if not place.is_dir():
        return
    for each in sorted(place.iterdir()):
        if each.name.startswith(start) and (start or not each.name.startswith(".")):
            yield f"{folder}{slash}{each.name}{'/' if each.is_dir() else ''}"


def _is_run(path: str) -> bool:
    return (Path(path).expanduser() / CONFIG_FILE).is_file()
