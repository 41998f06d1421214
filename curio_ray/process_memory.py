"""Memory of all processes of a run together, and giving back what nobody uses."""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
import time
from collections.abc import Callable
from functools import cache
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


SECONDS_BETWEEN = 5.0


class FreeMemory:
    """Trims the heap from time to time.

    An engine allocates tensors of ever other sizes, and glibc keeps the gaps between them: a server
    grows by tens of megabytes a minute. Lower thresholds of glibc's own would prevent it at nearly
    twice the processor time.
    """

    def __init__(self) -> None:
        self._trimmed_at = time.monotonic()

    def trim_if_due(self) -> None:
        """Trim, at most every five seconds; nothing happens where the C library cannot."""
        trim, now = _trim_function(), time.monotonic()
        if trim is not None and now - self._trimmed_at > SECONDS_BETWEEN:
            self._trimmed_at = now
            trim(0)


@cache
def _trim_function() -> Callable[[int], int] | None:
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
