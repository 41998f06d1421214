"""YAML in, a checked `RunConfig` out; every error names the field's path and what to write."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curio_ray.config.explain import explain
from curio_ray.config.extends import EXTENDS, read_config_values
from curio_ray.config.packaged import find_config
from curio_ray.config.renamed import renamed_problems
from curio_ray.config.run import RunConfig
from curio_ray.config.servers import AnyServerConfig, ServerConfig
from curio_ray.config.yaml_text import dump_yaml, parse_yaml, without_empty
from curio_ray.errors import ConfigError
from curio_ray.model_paths import absolute_name


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's config, with those that it extends, and apply overrides `a.b.c=value`.

    Args:
        path: a YAML file, or the name of a packaged config, such as `pocket`.
        overrides: what `--set` changes, in turn.

    Raises:
        ConfigError: there is no such file, it is not YAML, or a field is wrong.
    """
    file = find_config(path)
    values = read_config_values(file)
    for override in overrides:
        _apply(values, override)
    return parse_config(values, source=str(path))


def parse_config(values: dict[str, Any], source: str = "config") -> RunConfig:
    """Check plain values against `RunConfig`.

    Model folders and the task's `files` become absolute here, since the actors of a run work in
    other folders.

    Raises:
        ConfigError: a field is unknown, missing or wrong, or has a name of an earlier version; or
            a number is infinite or NaN, in a task's own options as well.
    """
    if problems := [*renamed_problems(values), *_not_finite(values)]:
        raise ConfigError(f"{source} cannot work:\n  " + "\n  ".join(problems))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        lines = [explain(details, RunConfig) for details in error.errors()]
        raise ConfigError(f"{source} cannot work:\n  " + "\n  ".join(lines)) from error
    servers = {name: _with_absolute_names(server) for name, server in config.servers.items()}
    options = _with_absolute_files(config.task.options)
    task = config.task.model_copy(update={"options": options})
    return config.model_copy(update={"servers": servers, "task": task})


def _not_finite(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _not_finite(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _not_finite(each, path)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value} does not work; write a finite number"


def _with_absolute_names(server: AnyServerConfig) -> AnyServerConfig:
    field = "model" if isinstance(server, ServerConfig) else "tokenizer"
    name, template = getattr(server, field), server.chat_template
    absolute = {
        field: None if name is None else absolute_name(name),
        "chat_template": None if template is None else str(Path(template).expanduser().absolute()),
    }
    return server.model_copy(update=absolute)


def with_value(config: RunConfig, path: str, value: object) -> RunConfig:
    """The same config with another value of the field at a dotted path.

    Raises:
        ConfigError: the field does not exist, or the config cannot work with the value.
    """
    values = config.model_dump(mode="json")
    _set(values, path, value, f"{path}={value}")
    return parse_config(values, source=f"{path}={value}")


def dump_config(config: RunConfig) -> str:
    """The resolved config as YAML, every default written out."""
    return dump_yaml(config.model_dump(mode="json"), sort_keys=False)


def flat_values(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted paths."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_values(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _with_absolute_files(options: dict[str, Any]) -> dict[str, Any]:
    """The task's options with the paths in its option `files` made absolute."""
    files = options.get("files")
    if not isinstance(files, list):
        return options
    absolute = [
        str(Path(each).expanduser().absolute()) if isinstance(each, str) else each for each in files
    ]
    return {**options, "files": absolute}


def _apply(values: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise ConfigError(f"--set {override}: write it as field.path=value")
    if path == EXTENDS:
        raise ConfigError(f"--set {override}: write it into the config's file")
    value = without_empty(parse_yaml(text, f"--set {override}"))
    _set(values, path, value, f"--set {override}")


def _set(values: dict[str, Any], path: str, value: object, source: str) -> None:
    *parents, last = path.split(".")
    section = values
    for depth, name in enumerate(parents):
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{source}: {'.'.join(parents[: depth + 1])} is not a section")
    section[last] = value
