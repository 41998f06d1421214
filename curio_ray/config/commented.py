"""A config as YAML in which every field says what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from curio_ray.config.base import section_classes, section_name
from curio_ray.config.run import RunConfig
from curio_ray.config.yaml_text import dump_yaml

_WIDTH = 100


def commented_yaml(values: Mapping[str, Any], header: str = "") -> str:
    """The plain values of a config as YAML, with each field's meaning above it.

    What is said of a field in one section is not said again in the next one of its kind.

    Args:
        values: those that the config names; what it leaves out stays out.
        header: comment lines for the top.
    """
    said: set[tuple[Any, str]] = set()
    lines = list(_lines(values, RunConfig, 0, said))
    return "\n".join([*([header.rstrip(), ""] if header else []), *lines, ""])


def _lines(
    values: Mapping[str, Any], kind: Any, depth: int, said: set[tuple[Any, str]]
) -> Iterator[str]:
    section, indent = _section_of(kind, values), "  " * depth
    for name, value in values.items():
        field = section.model_fields.get(name) if section is not None else None
        if field is not None and field.description and (section, name) not in said:
            said.add((section, name))
            if depth == 0 and isinstance(value, Mapping):
                yield ""
            yield from _comment(field.description, indent)
        below = field.annotation if field is not None else _values_of(kind)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_written(name)}:"
            yield from _lines(value, below, depth + 1, said)
        else:
            yield f"{indent}{_written(name)}: {_written(value)}"


def _section_of(kind: Any, values: Mapping[str, Any]) -> type[BaseModel] | None:
    choices = section_classes(kind)
    if len(choices) > 1:
        choices = [each for each in choices if _is_chosen(each, values)]
    return choices[0] if choices else None


def _is_chosen(section: type[BaseModel], values: Mapping[str, Any]) -> bool:
    """Whether these are the values of this one of several sections: by its name, or its fields."""
    named = values.get("name", section_name(section)) == section_name(section)
    return named and values.keys() <= section.model_fields.keys()


def _values_of(kind: Any) -> Any:
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _comment(text: str, indent: str) -> Iterator[str]:
    prefix = f"{indent}# "
    for line in textwrap.wrap(" ".join(text.split()), _WIDTH - len(prefix)):
        yield prefix + line


def _written(value: Any) -> str:
    text = dump_yaml(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
