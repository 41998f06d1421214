"""How many dialogues a runner holds, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from curio_ray.tracking.exported import Exporter


class DialogueGauges:
    """Counts the dialogues of one process."""

    def __init__(self, run: str) -> None:
        self._exporter = Exporter(run, "runner")
        self._in_flight = 0
        self._waiting = 0

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a block as a dialogue that is being held, and then as one that waits."""
        began = time.perf_counter()
        self._show(in_flight=1)
        try:
            yield
        finally:
            self._show(in_flight=-1, waiting=1)
            self._exporter.count("curio_dialogues")
            self._exporter.observe("curio_dialogue_seconds", time.perf_counter() - began)

    def handed_over(self) -> None:
        """The waiting dialogues go to whoever asked for them."""
        self._show(waiting=-self._waiting)

    def _show(self, in_flight: int = 0, waiting: int = 0) -> None:
        self._in_flight += in_flight
        self._waiting += waiting
        self._exporter.set("curio_dialogues_in_flight", self._in_flight)
        self._exporter.set("curio_dialogues_waiting", self._waiting)
