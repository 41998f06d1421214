"""Names that a config may still have from before, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIELDS = {"learner.ratio_cap": "learner.loss.importance_ratio_cap"}
"""New paths of fields by their old ones."""

VALUES = {("credit.estimator", "group"): "rloo"}
"""New values by the path of a field and its old value."""


def renamed_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each old name among the plain values of a config."""
    for old, new in FIELDS.items():
        if _at(values, old) is not None:
            yield f"{old}: is called {new}; write that"
    for (path, old), new in VALUES.items():
        if _at(values, path) == old:
            yield f"{path}: {old} is called {new}; write that"


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
