"""A plug-in's options as the types that its own annotations name."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from curio_ray.config.explain import explain
from curio_ray.errors import ConfigError

_FINITE = ConfigDict(allow_inf_nan=False)


def typed_options(
    function: Callable[..., Any], options: Mapping[str, Any], field: str
) -> dict[str, Any]:
    """The options, each converted as pydantic would: 100.0 to 100 where an int is annotated.

    Options without an annotation, or with one that pydantic cannot check, stay as they are.

    Args:
        function: what gets the options by name; a class counts as its `__init__`.
        options: as the config has them.
        field: path of the options, for errors.

    Raises:
        ConfigError: an option is of another type; the message names it.
    """
    adapters = _adapters(function)
    typed, problems = {}, []
    for name, value in options.items():
        try:
            typed[name] = adapters[name].validate_python(value) if name in adapters else value
        except ValidationError as error:
            problems += [explain(each, None, f"{field}.{name}") for each in error.errors()]
    if problems:
        raise ConfigError("\n".join(problems))
    return typed


def _adapters(function: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    named = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(named)
        parameters = inspect.signature(named).parameters
    # an annotation may be a name that exists for type checkers alone
    except (NameError, TypeError, ValueError, AttributeError):
        return {}
    found: dict[str, TypeAdapter[Any]] = {}
    for name, parameter in parameters.items():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if by_name and name in hints and (adapter := _adapter(hints[name])) is not None:
            found[name] = adapter
    return found


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(annotation, config=_FINITE)
    except (PydanticSchemaGenerationError, PydanticUserError):
        pass
    try:
        # a pydantic model has a config of its own
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None
