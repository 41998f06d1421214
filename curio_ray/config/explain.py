"""From pydantic's errors to what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from curio_ray.config.base import NUMBER, section_class, section_classes, section_name

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "dict": "a mapping of names to values",
    "model": "a section, that is a mapping of its fields",
    "list": "a list",
    "tuple": "a list",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}


def explain(details: ErrorDetails, root: type[BaseModel] | None, prefix: str = "") -> str:
    """One error as "field.path: what is wrong; what to write".

    Args:
        details: the error, as `ValidationError.errors()` gives it.
        root: the model that was validated, where it is known: it tells the names of the fields.
        prefix: the path of that model in the whole config.
    """
    location, kind = details["loc"], details["type"]
    path = ".".join((*([prefix] if prefix else []), *_written(root, location)))
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return f"{path}: {message}" if path else message
    if kind == "extra_forbidden":
        section = section_class(_section_at(root, location[:-1]))
        if hint := getattr(section, "elsewhere", {}).get(str(location[-1])):
            return f"{path}: {hint}"
        known = _fields_at(root, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"write one of: {', '.join(known)}" if known else "remove it or correct its name"
        hint = f"did you mean {close[0]}?" if close else hint
        return f"{path}: there is no such field; {hint}"
    if kind == "missing":
        return f"{path}: is missing; write {_what_belongs(root, location)}"
    if kind.startswith("union_tag"):
        return f"{path}.{_choice(root, details)}"
    return f"{path}: {_allowed(details)}"


def _choice(root: type[BaseModel] | None, details: ErrorDetails) -> str:
    """For a field that is a choice of sections: that `name` must be one of theirs."""
    found, _ = _walk(root, details["loc"])
    names = ", ".join(section_name(each) for each in section_classes(found))
    if details["type"] == "union_tag_not_found":
        return f"name: is missing; write one of: {names}"
    return f"name: {_short(details['ctx']['tag'])} does not work; write one of: {names}"


def _allowed(details: ErrorDetails) -> str:
    kind, wrong = details["type"], f"{_short(details['input'])} does not work"
    if details["input"] is None:
        wrong = "is empty"
    context = details.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{wrong}; write {words.format(context[key])}"
    if kind == "literal_error":
        return f"{wrong}; write one of: {_choices(context['expected'])}"
    wanted = _KINDS.get(kind.partition("_")[0])
    if wanted is not None:
        return f"{wrong}; write {wanted}{_hint(wanted, details['input'])}"
    message = details["msg"]
    return f"{wrong}: {message[:1].lower()}{message[1:]}"


def _hint(wanted: str, given: Any) -> str:
    """How a value of one kind is written so that YAML reads it as the wanted one."""
    if wanted == "a list" and isinstance(given, str | int | float):
        return f", such as [{given}]"
    if wanted == "text" and isinstance(given, dict):
        return ", in quotes where it has a colon"
    if wanted == "text" and isinstance(given, bool | int | float):
        return f", such as '{given}' in quotes"
    return ""


def _choices(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _what_belongs(root: type[BaseModel] | None, location: Sequence[int | str]) -> str:
    if fields := _fields_at(root, location):
        return f"a section with {', '.join(fields)}"
    section = section_class(_section_at(root, location[:-1]))
    name = str(location[-1])
    if section is not None and (about := section.model_fields[name].description):
        return f"its value: {about[0].lower()}{about[1:].rstrip('.')}"
    return "a value for it"


def _fields_at(root: type[BaseModel] | None, location: Sequence[int | str]) -> list[str]:
    section = section_class(_section_at(root, location))
    return list(section.model_fields) if section is not None else []


def _section_at(root: type[BaseModel] | None, location: Sequence[int | str]) -> Any:
    return _walk(root, location)[0]


def _written(root: type[BaseModel] | None, location: Sequence[int | str]) -> list[str]:
    """The parts of a location as a user writes them; pydantic adds which section was chosen."""
    return _walk(root, location)[1]


def _walk(root: type[BaseModel] | None, location: Sequence[int | str]) -> tuple[Any, list[str]]:
    """What belongs at a location, or None where it is not known, and the path as it is written."""
    found: Any = root
    path = []
    for part in location:
        if part == NUMBER and len(section_classes(found)) > 1:
            continue
        chosen = _chosen(found, part)
        if chosen is not None:
            found = chosen
            continue
        path.append(str(part))
        section = section_class(found)
        if section is not None and str(part) in section.model_fields:
            found = section.model_fields[str(part)].annotation
        elif get_origin(found) is dict:
            found = get_args(found)[1]
        else:
            found = None
    return found, path


def _chosen(annotation: Any, part: int | str) -> type[BaseModel] | None:
    choices = section_classes(annotation)
    if len(choices) < 2:
        return None
    return next((each for each in choices if section_name(each) == part), None)
