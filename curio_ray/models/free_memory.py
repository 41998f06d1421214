"""Gives memory that the C library holds but nobody uses back to the system."""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from functools import cache

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
def _trim_function() -> ctypes._NamedFuncPointer | None:
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
