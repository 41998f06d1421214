"""Names that configs of earlier versions may still have, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIELDS: dict[str, str] = {"learner.ratio_cap": "learner.loss.importance_ratio_cap"}
"""New paths of fields by their old ones. A `*` is any name, such as a server's; it stands as often
in the new path."""

VALUES: dict[tuple[str, str | bool], str] = {
    ("credit.estimator", "group"): "rloo",
    ("credit.normalise", True): "mean_std",
    ("credit.normalise", False): "none",
    ("task.name", "curio_ray.tasks.exercise:ExerciseTask"): "exercise",
    ("task.name", "curio_ray.tasks.education:EducationTask"): "education",
}
"""New values by the path of a field and its old value."""


def renamed_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each old name among the plain values of a config."""
    for old, new in FIELDS.items():
        for path, names, _ in _found(values, old.split(".")):
            yield f"{path}: is called {_filled(new, names)}; write that"
    for (field, former), new in VALUES.items():
        for path, _, value in _found(values, field.split(".")):
            if type(value) is type(former) and value == former:
                name = str(former).lower() if isinstance(former, bool) else former
                yield f"{path}: {name} is called {new}; write that"


def _found(
    values: Any, pattern: list[str], path: str = "", names: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Each path that a pattern fits, the names that its `*` stand for, and what is there."""
    if not pattern:
        yield path, names, values
        return
    if not isinstance(values, Mapping):
        return
    first, *rest = pattern
    for key in values if first == "*" else [first] if first in values else []:
        below = f"{path}.{key}" if path else str(key)
        own = (*names, str(key)) if first == "*" else names
        yield from _found(values[key], rest, below, own)


def _filled(path: str, names: tuple[str, ...]) -> str:
    for name in names:
        path = path.replace("*", name, 1)
    return path
