"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

MESSAGE = "finishing the iteration and saving; press Ctrl-C again to stop at once"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the run was asked to stop. As a context manager it listens to the signals.

    Ray puts its own SIGTERM handler in place when it starts: call `listen` again after that.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.requested = False
        self.say = say
        self._previous: dict[int, Any] = {}

    def listen(self) -> None:
        """Take SIGINT and SIGTERM. Only the main thread may call this."""
        for number in _SIGNALS:
            previous = signal.signal(number, self._receive)
            self._previous.setdefault(number, previous)

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self.say is not None:
            self.say(MESSAGE)
