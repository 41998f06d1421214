"""From the config's task name to a task: a registered one, or any `module:Class`."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from curio_ray.config.explain import explain
from curio_ray.config.run import TaskConfig
from curio_ray.errors import ConfigError
from curio_ray.tasks.base import Task

ENTRY_POINT_GROUP = "curio_ray.tasks"


def make_task(config: TaskConfig, seed: int) -> Task:
    """Construct the task with `seed` and its options as keyword arguments.

    A package adds a task by an entry point in the group `curio_ray.tasks`.

    Raises:
        ConfigError: there is no such task, or its options are wrong.
    """
    task_class = _find(config.name)
    try:
        inspect.signature(task_class).bind(seed, **config.options)
    except TypeError as error:
        raise ConfigError(
            f"task.options: {config.name} does not take them: {error}; "
            f"it is made as {task_class.__name__}{inspect.signature(task_class)}"
        ) from error
    try:
        return task_class(seed, **config.options)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = [explain(details, None, "task.options") for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def task_names() -> list[str]:
    """The registered tasks."""
    return sorted(entry_points(group=ENTRY_POINT_GROUP).names)


def _find(name: str) -> type[Task]:
    registered = entry_points(group=ENTRY_POINT_GROUP)
    if name in registered.names:
        entry = registered[name]
    elif ":" in name:
        entry = EntryPoint(name=name, value=name, group=ENTRY_POINT_GROUP)
    else:
        raise ConfigError(
            f"task.name: there is no task '{name}'; "
            f"write one of: {', '.join(task_names())}, or a class as module:Class"
        )
    return _load(name, entry)


def _load(name: str, entry: EntryPoint) -> type[Task]:
    try:
        loaded = importlib.import_module(entry.module)
        for attribute in entry.attr.split("."):
            loaded = getattr(loaded, attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"task.name: '{name}' cannot be loaded ({error}); "
            f"write one of: {', '.join(task_names())}, or an importable module:Class"
        ) from error
    if not (inspect.isclass(loaded) and issubclass(loaded, Task)):
        raise ConfigError(
            f"task.name: '{name}' is not a task; name a subclass of curio_ray.tasks.base.Task"
        )
    return loaded
