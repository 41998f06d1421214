"""Files of one JSON object a line, with its iteration, and the trackers of metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from curio_ray.run_folder.atomic import write_atomically
from curio_ray.tracking.trackers import Tracker


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a file; a last line cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def append_lines(path: Path, iteration: int, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add lines of an iteration to a file; nothing is touched where there are none."""
    text = "".join(json.dumps({"iteration": iteration, **line}) + "\n" for line in lines)
    if text:
        with path.open("a") as file:
            file.write(text)


def truncate_lines(path: Path, iteration: int) -> None:
    """Drop what comes after `iteration`, so that a resumed run logs no iteration twice."""
    if path.exists():
        kept = [line for line in read_lines(path) if line["iteration"] <= iteration]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))


def write_evaluation(path: Path, evaluation: Mapping[str, Any]) -> None:
    """Write the figures of an evaluation, and what they are of, as one JSON object."""
    values = {key: _plain(value) for key, value in evaluation.items()}
    write_atomically(path, json.dumps(values, indent=2) + "\n")


class MetricsWriter:
    """Appends an iteration's metrics to the file; trackers that were added get its numbers.

    Values that are not finite become null in the file, and trackers do not get them.
    """

    def __init__(self, metrics_file: Path) -> None:
        self._file = metrics_file
        self._trackers: list[Tracker] = []
        self._last = -1

    def add(self, tracker: Tracker) -> None:
        """Log to a tracker too, which is closed with the writer."""
        self._trackers.append(tracker)

    def write(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Log `metrics`."""
        values = {key: _plain(value) for key, value in metrics.items()}
        append_lines(self._file, iteration, [values])
        self._track(iteration, values)

    def extend(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Add `metrics` to the last line, which must be the iteration's.

        Trackers that have not logged the iteration since this process began get all of the line:
        some hide what an earlier process logged of it.
        """
        *before, line = read_lines(self._file)
        if line["iteration"] != iteration:
            raise ValueError(f"the last line is of iteration {line['iteration']}, not {iteration}")
        added = {key: _plain(value) for key, value in metrics.items()}
        lines = [*before, line | added]
        write_atomically(self._file, "".join(json.dumps(each) + "\n" for each in lines))
        values = added if self._last == iteration else {**line, **added}
        self._track(iteration, {k: v for k, v in values.items() if k != "iteration"})

    def _track(self, iteration: int, values: Mapping[str, Any]) -> None:
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        for tracker in self._trackers:
            tracker.log(iteration, numbers)
        self._last = iteration

    def close(self, iterations: int) -> None:
        """Close the trackers; the run is complete where its last of `iterations` was logged."""
        for tracker in self._trackers:
            tracker.close(complete=self._last >= iterations)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            return None
        return int(number) if isinstance(value, int) else number
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"a metric must be a number, text, list or mapping, got {type(value).__name__}")
