"""YAML read strictly: every error has its line, and a key that stands twice is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from curio_ray.errors import ConfigError


class Empty:
    """A key with nothing after its colon, as against a written `null`."""


EMPTY = Empty()


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; keys with nothing after their colon hold `EMPTY`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8 ({error.reason}); name a YAML file") from (
            error
        )
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        found = "is empty; it" if values is None or values is EMPTY else ""
        raise ConfigError(
            f"{path}: {found} must hold a mapping of sections, such as 'task:' and 'servers:'"
        )
    return values


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        ConfigError: it is not YAML, or a mapping has a key twice; the message has the line.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else f" line {mark.line + 1}:"
        hint = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise ConfigError(f"{source}:{line} not valid YAML: {error.problem}{hint}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from error


def without_empty(value: Any) -> Any:
    """The same value with None in place of every `EMPTY`."""
    if isinstance(value, dict):
        return {key: without_empty(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_empty(each) for each in value]
    return None if value is EMPTY else value


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses keys that stand twice in a mapping."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = (key.tag, key.value)
            if name in seen:
                problem = f"'{key.value}' stands here and in line {seen[name]}; write it once"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen[name] = key.start_mark.line + 1
        return node


def _construct_null(loader: _StrictLoader, node: yaml.ScalarNode) -> Empty | None:
    loader.construct_scalar(node)
    return None if node.value else EMPTY


_StrictLoader.add_constructor("tag:yaml.org,2002:null", _construct_null)
