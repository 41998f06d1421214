"""From the config's task name to a task: a registered one, or any `module:Class`."""

from __future__ import annotations

from importlib.metadata import entry_points

from pydantic import ValidationError

from curio_ray.config.explain import explain
from curio_ray.config.run import TaskConfig
from curio_ray.errors import ConfigError
from curio_ray.plugins import check_takes, load_class
from curio_ray.tasks.base import Task

ENTRY_POINT_GROUP = "curio_ray.tasks"


def make_task(config: TaskConfig, seed: int) -> Task:
    """Construct the task with `seed` and its options as keyword arguments.

    A package adds a task by an entry point in the group `curio_ray.tasks`.

    Raises:
        ConfigError: there is no such task, or its options are wrong.
    """
    task_class = _find(config.name)
    check_takes(task_class, 1, config.options, "task.options")
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
    write = f"one of: {', '.join(task_names())}, or a class as module:Class"
    if name not in registered.names and ":" not in name:
        raise ConfigError(f"task.name: there is no task '{name}'; write {write}")
    reference = registered[name].value if name in registered.names else name
    task_class: type[Task] = load_class(reference, "task.name", Task, write)
    return task_class
