"""One iteration: how long its phases took, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from curio_ray.dialogue import Dialogue
from curio_ray.rollout.failures import Failure
from curio_ray.run_folder import RunFolder


@dataclass(slots=True)
class Iteration:
    """One finished iteration: its metrics by name, the dialogues it learned from, those lost."""

    number: int
    metrics: dict[str, Any]
    dialogues: list[Dialogue]
    failures: list[Failure]

    def record_into(self, run: RunFolder, user_types: Sequence[str]) -> None:
        """Keep it in the run's folder."""
        failures = [each.record(user_types) for each in self.failures]
        run.record(self.number, self.metrics, self.dialogues, failures)


@dataclass(slots=True)
class PhaseClock:
    """Seconds spent in each phase of an iteration."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a block under a name."""
        start = time.perf_counter()
        yield
        self.seconds[f"time/{name}"] = time.perf_counter() - start
