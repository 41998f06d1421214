"""TensorBoard files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class TensorBoardTracker:
    """Writes event files; the first is opened by the first iteration that is logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Add a step."""
        if self._writer is None:
            from tensorboardX import SummaryWriter

            # purge_step hides from the viewer what an interrupted run logged after its checkpoint
            self._writer = SummaryWriter(str(self._folder), purge_step=iteration)
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def close(self, complete: bool) -> None:
        """Close the file; logging again opens a new one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
