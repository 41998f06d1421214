"""metrics.jsonl and TensorBoard: one line, and one step, per iteration."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curio_ray.run_folder.atomic import write_atomically

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a metrics file; a last line cut off by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def truncate_metrics(path: Path, iteration: int) -> None:
    """Drop what comes after `iteration`, so that a resumed run logs no iteration twice."""
    kept = [line for line in read_metrics(path) if line["iteration"] <= iteration]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))


class MetricsWriter:
    """Appends an iteration's metrics to both logs. Values that are not finite become null."""

    def __init__(self, metrics_file: Path, tensorboard_folder: Path) -> None:
        self._file = metrics_file
        self._folder = tensorboard_folder
        self._tensorboard: SummaryWriter | None = None

    def write(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Log `metrics`; numbers go to TensorBoard too."""
        line = {"iteration": iteration} | {key: _plain(value) for key, value in metrics.items()}
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        writer = self._open_tensorboard(iteration)
        for key, value in line.items():
            if isinstance(value, int | float) and key != "iteration":
                writer.add_scalar(key, value, iteration)
        writer.flush()

    def close(self) -> None:
        """Close the TensorBoard file; writing again opens a new one."""
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None

    def _open_tensorboard(self, iteration: int) -> SummaryWriter:
        if self._tensorboard is None:
            from tensorboardX import SummaryWriter

            # purge_step hides from the viewer what an interrupted run logged after its checkpoint
            self._tensorboard = SummaryWriter(str(self._folder), purge_step=iteration)
        return self._tensorboard


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
