"""How long a run has taken: this command, and all the commands that trained it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RUN_SECONDS = "run_seconds"


@dataclass(frozen=True, slots=True)
class RunClock:
    """Seconds of a run, in which the breaks between its commands do not count.

    `started_at` is when this command started, in seconds since the epoch; `before` are the seconds
    of the commands before it.
    """

    started_at: float
    before: float = 0.0

    @classmethod
    def resumed(cls, started_at: float, lines: Sequence[Mapping[str, Any]]) -> RunClock:
        """The clock of a resumed run, from all lines of metrics.jsonl, also those to be cut off."""
        return cls(started_at, max((line.get(RUN_SECONDS, 0.0) for line in lines), default=0.0))

    @property
    def command_seconds(self) -> float:
        """Seconds since this command started."""
        return time.time() - self.started_at

    @property
    def run_seconds(self) -> float:
        """Seconds of all commands together."""
        return self.before + self.command_seconds
