"""A user's own classes and functions: named in a config as `module:name`, or by entry points."""

from __future__ import annotations

import difflib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import entry_points
from typing import Any

from curio_ray.errors import ConfigError


def registered(group: str) -> dict[str, str]:
    """What installed packages register in a group of entry points: `module:name` by short name."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=group))}


def unknown_name(field: str, what: str, name: str, known: Collection[str], or_else: str) -> str:
    """What to say of a name that nothing has.

    Args:
        field: path of the config's field that holds it.
        what: what it should be the name of.
        name: the name.
        known: the names that exist.
        or_else: what else the user may write.
    """
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"{field}: there is no {what} '{name}'; {hint}write one of: {', '.join(known)}, {or_else}"
    )


def load_class(reference: str, field: str, base: type, write: str = "") -> Any:
    """The class at `module:name`, a subclass of `base`.

    Args:
        reference: `module:name`. The folder of the command is searched as well.
        field: path of the config's field that holds it, for errors.
        base: what it must inherit from.
        write: what the field may hold, for errors.

    Raises:
        ConfigError: it cannot be imported or is not such a class.
    """
    loaded = _load(reference, field, write or "a class as module:name")
    if not (inspect.isclass(loaded) and issubclass(loaded, base)):
        raise ConfigError(
            f"{field}: '{reference}' is not a {base.__name__.lower()}; "
            f"name a subclass of {base.__module__}.{base.__qualname__}"
        )
    return loaded


def load_function(reference: str, field: str, write: str = "") -> Callable[..., Any]:
    """The function, or anything else that can be called, at `module:name`.

    Args:
        reference: `module:name`. The folder of the command is searched as well.
        field: path of the config's field that holds it, for errors.
        write: what the field may hold, for errors.

    Raises:
        ConfigError: it cannot be imported or called.
    """
    loaded = _load(reference, field, write or "a function as module:name")
    if not callable(loaded):
        raise ConfigError(
            f"{field}: '{reference}' is a {type(loaded).__name__}; name a function that can be "
            "called"
        )
    return loaded


def check_takes(
    function: Callable[..., Any], arguments: int, options: Mapping[str, Any], field: str
) -> None:
    """Check that a function can be called with so many arguments and these options by name.

    Raises:
        ConfigError: it cannot; `field` is the path of the options.
    """
    signature, name = inspect.signature(function), getattr(function, "__name__", str(function))
    try:
        signature.bind(*[None] * arguments, **options)
    except TypeError as error:
        raise ConfigError(
            f"{field}: {name} does not take them: {error}; it is called as {name}{signature}"
        ) from error


def _load(reference: str, field: str, write: str) -> Any:
    if ":" not in reference:
        raise ConfigError(f"{field}: '{reference}' names no module; write {write}")
    # A console script's own search path begins at its own folder.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return pkgutil.resolve_name(reference)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise ConfigError(
            f"{field}: '{reference}' cannot be loaded ({error}); write {write}, "
            "of a module that can be imported here"
        ) from error
