"""Configs that extend others: `extends: other.yaml` in the first, only what differs below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curio_ray.config.packaged import find_config
from curio_ray.config.yaml_text import EMPTY, read_mapping, without_empty
from curio_ray.errors import ConfigError

EXTENDS = "extends"


def read_config_values(path: Path) -> dict[str, Any]:
    """The values of a config file, merged into those of the files that it extends.

    Raises:
        ConfigError: a file is missing or wrong, or they extend each other in a circle.
    """
    merged: dict[str, Any] = {}
    for file, values in reversed(read_chain(path)):
        merged = _merged(merged, values, f"{file}: ")
    plain: dict[str, Any] = without_empty(merged)
    return plain


def read_chain(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The file at `path`, the one that it extends, and so on, each with its own values.

    Raises:
        ConfigError: as `read_config_values`.
    """
    chain: list[tuple[Path, dict[str, Any]]] = []
    following: Path | None = path
    while following is not None:
        files = [*(file for file, _ in chain), following]
        if len({each.resolve() for each in files}) < len(files):
            raise ConfigError(
                f"{path}: extends goes in a circle: {_arrows(files)}; remove one of them"
            )
        try:
            values = read_mapping(following)
            base = values.pop(EXTENDS, None)
            chain.append((following, values))
            following = None if base is None else _extended(following, base)
        except ConfigError as error:
            if len(files) == 1:
                raise
            raise ConfigError(f"{error} ({_arrows(files)})") from error
    return chain


def _extended(file: Path, base: object) -> Path:
    if not isinstance(base, str):
        raise ConfigError(f"{file}: extends: write the path of one YAML file")
    try:
        return find_config(base, file.parent)
    except ConfigError as error:
        raise ConfigError(f"{file}: extends: {error}") from error


def _arrows(files: Sequence[Path]) -> str:
    return " -> ".join(str(each) for each in files)


def _merged(inherited: Mapping[str, Any], own: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Mappings are merged and all else is replaced; null takes out what is inherited.

    This is JSON Merge Patch (RFC 7396), but that a null stays where nothing is inherited.
    """
    merged = dict(inherited)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value, f"{path}{key}.")
        elif key in merged and value is EMPTY:
            raise ConfigError(
                f"{path}{key}: is empty, and the file that it extends has it; write null to leave "
                "that out, or remove the line"
            )
        elif key in merged and value is None:
            del merged[key]
        else:
            merged[key] = value
    return merged
