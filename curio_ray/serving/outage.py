"""How long a client's requests waited for somebody to answer them."""

from __future__ import annotations

import time


class OutageClock:
    """Adds up outages. Deadlines of dialogues stand still while one is on."""

    def __init__(self) -> None:
        self._past_s = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of outage until now."""
        return self._past_s + (0.0 if self._since is None else time.monotonic() - self._since)

    def begin(self) -> float:
        """Nobody answers; returns since when, on the monotonic clock. May be called again."""
        if self._since is None:
            self._since = time.monotonic()
        return self._since

    def end(self) -> None:
        """Somebody answers; nothing happens where no outage is on."""
        self._past_s, self._since = self.seconds, None
