"""From the config's task name to a task: a registered one, or any `module:Class`."""

from __future__ import annotations

from pydantic import ValidationError

from curio_ray.config.explain import explain
from curio_ray.config.plugin_options import typed_options
from curio_ray.config.run import TaskConfig
from curio_ray.errors import ConfigError, CurioError
from curio_ray.plugins import cause_of, check_takes, load_class, registered, unknown_name
from curio_ray.tasks.base import Task

ENTRY_POINT_GROUP = "curio_ray.tasks"


def make_task(config: TaskConfig, seed: int) -> Task:
    """Construct the task with `seed` and its options as keyword arguments.

    A package adds a task by an entry point in the group `curio_ray.tasks`.

    Raises:
        ConfigError: there is no such task, or it cannot be made with its options.
    """
    task_class = _find(config.name)
    if missing := sorted(getattr(task_class, "__abstractmethods__", ())):
        raise ConfigError(
            f"task.name: {task_class.__name__} lacks {', '.join(missing)}; write these methods "
            "(docs/extend/task.md)"
        )
    check_takes(task_class, 1, config.options, "task.options")
    options = typed_options(task_class, config.options, "task.options")
    try:
        return task_class(seed, **options)  # type: ignore[call-arg]
    except CurioError:
        raise
    except ValidationError as error:
        lines = [explain(details, None, "task.options") for details in error.errors()]
        raise ConfigError("\n".join(lines)) from error
    # the class is the user's, and may raise anything
    except Exception as error:
        raise ConfigError(
            f"task.options: making {task_class.__name__} fails: {cause_of(error)}; mend the task "
            "or its options"
        ) from error


def task_names() -> list[str]:
    """The registered tasks."""
    return list(registered(ENTRY_POINT_GROUP))


def _find(name: str) -> type[Task]:
    known, or_else = registered(ENTRY_POINT_GROUP), "or a class as module:Class"
    if name not in known and ":" not in name:
        raise ConfigError(unknown_name("task.name", "task", name, known, or_else))
    write = f"one of: {', '.join(known)}, {or_else}"
    task_class: type[Task] = load_class(known.get(name, name), "task.name", Task, write)
    return task_class
