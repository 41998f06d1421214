"""The reference of every field as Markdown: `python -m curio_ray.config.reference`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from curio_ray.config.base import section_classes, section_name
from curio_ray.config.run import RunConfig

INTRODUCTION = """\
# Configuration

A run is one YAML file. Unknown fields are errors, a field that is left out has its default, and
the run folder keeps the whole resolved config. `curio plan CONFIG` checks a config and shows what
it needs without starting anything; `--set field.path=value` changes a field for one command. The
key `extends` names a config that this one differs from: docs/use/configuration.md.

A resumed run keeps its config. Only `training.iterations`, `training.checkpoint_every`,
`training.keep_checkpoints`, `training.alarms.*`, `training.stops.*`, `evaluation.every`,
`learner.ranks`, `learner.zero_stage`, `learner.gpus_per_rank`, `learner.threads`,
`learner.tokens_per_pack`, `learner.gradient_checkpointing`, `tracking.*`,
`cluster.*` and how an endpoint is reached (its `url`, `api_key_env`, `max_in_flight`,
`request_deadline_s` and `retry_for_s`) may change with `--set`.

This page is made from the code by `make docs`.
"""


def render_reference() -> str:
    """The whole page."""
    parts = [INTRODUCTION, *_sections(RunConfig, "")]
    return "\n".join(parts)


def _sections(model: type[BaseModel], path: str, choice: str = "") -> Iterator[str]:
    title = f"`{path}`{choice}" if path else "The run"
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    lines = [f"## {title}", "", inspect.getdoc(model) or "", ""]
    lines += ["| field | values | default | meaning |", "|---|---|---|---|", *rows, ""]
    yield "\n".join(lines)
    for name, field in model.model_fields.items():
        below = f"{path}.{name}" if path else name
        sections, suffix = _sections_of(field.annotation)
        for section in sections:
            kind = _kind(section) if len(sections) > 1 else ""
            yield from _sections(section, below + suffix, kind)


def _kind(section: type[BaseModel]) -> str:
    name = section_name(section)
    return f" with `name: {name}`" if "name" in section.model_fields else f", {name}"


def _sections_of(annotation: Any) -> tuple[list[type[BaseModel]], str]:
    """What a field holds: no section, one, or a choice; and what follows its path in names."""
    if get_origin(annotation) is dict:
        return _sections_of(get_args(annotation)[1])[0], ".NAME"
    return section_classes(annotation), ""


def _row(name: str, field: FieldInfo) -> str:
    sections, suffix = _sections_of(field.annotation)
    values = f"section{'s by name' if suffix else ''}" if sections else _values(field)
    if len(sections) > 1 and isinstance(field.default, int | float):
        values = f"number, or {values}"
    if len(sections) > 1:
        values += ": " + ", ".join(f"`{section_name(each)}`" for each in sections)
    meaning = " ".join((field.description or "").split())
    cells = (f"`{name}`", values, _default(field, sections), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(field: FieldInfo) -> str:
    bounds = []
    for limit in field.metadata:
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (value := getattr(limit, attribute, None)) is not None:
                bounds.append(f"{sign} {value:g}")
    return " ".join([_type_name(field.annotation), ", ".join(bounds)]).strip()


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_type_name(part) for part in get_args(annotation))
    if origin is Annotated:
        return _type_name(get_args(annotation)[0])
    if origin is dict:
        return "mapping"
    names = {int: "integer", float: "number", bool: "boolean", str: "text", type(None): "null"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _default(field: FieldInfo, sections: list[type[BaseModel]]) -> str:
    if field.is_required():
        return "required"
    if len(sections) > 1 and isinstance(field.default, BaseModel):
        return f"`{section_name(type(field.default))}`"
    if len(sections) == 1 and field.default is not None:
        return ""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value == {}:
        return ""
    if isinstance(value, bool) or value is None:
        return f"`{'null' if value is None else str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, int | float) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
