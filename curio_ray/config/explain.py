"""From pydantic's errors to what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from curio_ray.config.base import section_class

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
    path = ".".join(str(part) for part in (*([prefix] if prefix else []), *location))
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return f"{path}: {message}" if path else message
    if kind == "extra_forbidden":
        known = _fields_at(root, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"write one of: {', '.join(known)}" if known else "remove it or correct its name"
        hint = f"did you mean {close[0]}?" if close else hint
        return f"{path}: there is no such field; {hint}"
    if kind == "missing":
        return f"{path}: is missing; write {_what_belongs(root, location)}"
    return f"{path}: {_allowed(details)}"


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
        return f"{wrong}; write {wanted}"
    message = details["msg"]
    return f"{wrong}: {message[:1].lower()}{message[1:]}"


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
    found: Any = root
    for part in location:
        section = section_class(found)
        if section is not None and str(part) in section.model_fields:
            found = section.model_fields[str(part)].annotation
        elif get_origin(found) is dict:
            found = get_args(found)[1]
        else:
            return None
    return found
