"""Memory of all processes of a run together: this process and its descendants."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil


def process_tree_bytes() -> int:
    """Memory of this process and all its descendants, shared pages counted once.

    Linux's proportional set size divides a shared page among the processes that map it. Elsewhere
    the resident size stands in, which counts shared pages once per process.
    """
    this = psutil.Process()
    return sum(_process_bytes(process) for process in [this, *this.children(recursive=True)])


class MemorySampler:
    """Watches `process_tree_bytes` in a thread and keeps the highest value.

    Processes of a Ray cluster that the run joined, but did not start, are not counted.
    """

    def __init__(self, interval_s: float = 2.0) -> None:
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, name="memory sampler", daemon=True)

    @property
    def peak_bytes(self) -> int:
        """The highest value so far, this moment included."""
        self._sample()
        return self._peak

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10 * self._interval_s)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, process_tree_bytes())


def _process_bytes(process: psutil.Process) -> int:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return _resident_bytes(process)
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident_bytes(process)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:
        return 0
