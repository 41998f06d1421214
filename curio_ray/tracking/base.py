"""What every tracker does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """Takes an iteration's numbers."""

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of an iteration; iteration 0 is the evaluation before training."""

    def close(self, complete: bool) -> None:
        """Send what is left and end; `complete` where the run came to its last iteration."""


class NotedTracker(Tracker, Protocol):
    """A tracker that keeps a run elsewhere."""

    @property
    def notes(self) -> dict[str, str]:
        """What the run folder keeps of it: ids to go on with, addresses to look at."""
