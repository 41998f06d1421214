"""A user's own classes and functions: named in a config as `module:name`, or by entry points."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from curio_ray.errors import ConfigError

_OURS = str(Path(__file__).parent)
_LIBRARIES = tuple({sysconfig.get_path(each) for each in ("stdlib", "purelib", "platlib")})


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
    module, separator, name = reference.partition(":")
    if not separator:
        raise ConfigError(f"{field}: '{reference}' names no module; write {write}")
    if problem := _misspelt(module, name):
        raise ConfigError(f"{field}: '{reference}' {problem}; write {write}")
    _search_the_folder_of_the_command()
    found: Any = _import(reference, module, field, write)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(
                f"{field}: '{reference}' cannot be loaded: {_where(module)} has no '{part}'"
                f"{_close(part, vars(found))}; {_hidden(module)}write {write}"
            )
        found = getattr(found, part)
    return found


def _misspelt(module: str, name: str) -> str | None:
    """What is wrong with the two parts of `module:name` as names, or None."""
    if "/" in module or "\\" in module or module.endswith(".py"):
        path = module.removesuffix(".py").replace("\\", "/").strip("./")
        return (
            f"names a file, not a module (did you mean {path.replace('/', '.')}:{name or 'NAME'}?)"
        )
    if module.startswith("."):
        return "begins with a dot, and there is no package that it could be relative to"
    if not all(part.isidentifier() for part in module.split(".")):
        return "names no module that can be imported: one is of letters, digits and '_'"
    if not all(part.isidentifier() for part in name.split(".")):
        return "names nothing in the module" if name else "ends with its colon"
    return None


def _search_the_folder_of_the_command() -> None:
    # A console script's own search path begins at its own folder.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())


def _import(reference: str, module: str, field: str, write: str) -> Any:
    """The module, whatever its own code raises while it is imported being said as its own error."""
    cannot = f"{field}: '{reference}' cannot be loaded"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{cannot} (No module named '{error.name}'); write {write}, of a module in the "
                "folder of the command, in an installed package, or on PYTHONPATH"
            ) from error
        raise ConfigError(
            f"{cannot}: {_where(module)} imports '{error.name}', which is not there; install it, "
            "or put its folder on PYTHONPATH"
        ) from error
    # the module is the user's, and may raise anything
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{cannot}: importing {_where(module)} fails: {cause_of(error)}; mend the module"
        ) from error


def cause_of(error: BaseException) -> str:
    """An error in a user's own code: its class, what it says, and the line that it comes from."""
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [each for each in frames if not each.filename.startswith((_OURS, "<"))]
    own = [each for each in foreign if not each.filename.startswith(_LIBRARIES)] or foreign
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said


def _where(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        found = None
    file = found.origin if found is not None else None
    return f"{module} ({file})" if file else module


def _hidden(module: str) -> str:
    """What to do where a module of Python or of a package has the name of one in this folder."""
    here = Path(*module.split(".")).with_suffix(".py").absolute()
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if not here.is_file() or loaded is None or Path(loaded).resolve() == here.resolve():
        return ""
    return f"{here} has the same name and is not found; rename it, or "


def _close(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""
