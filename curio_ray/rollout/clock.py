"""Where the time of dialogues goes: what each waited for, on its critical path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Literal, get_args

Awaited = Literal["policy", "user", "beliefs", "judge"]

# Metrics that add up to the seconds of an iteration.
ITERATION_PARTS = (
    *(f"time/collect_{each}" for each in (*get_args(Awaited), "rest")),
    *(f"time/{each}" for each in ("score", "credit", "learn", "weights")),
)


@dataclass(slots=True)
class DialogueSeconds:
    """Seconds on the critical paths of dialogues, summed over them; `total` is their length.

    `beliefs` is what a dialogue took longer for beliefs alone: beliefs that arrive while it waits
    for something else cost it nothing. `judge` is the wait for verdicts after the last word, of
    the reward model on the whole dialogue and on single turns.
    """

    dialogues: int = 0
    policy: float = 0.0
    user: float = 0.0
    beliefs: float = 0.0
    judge: float = 0.0
    total: float = 0.0

    def add(self, other: DialogueSeconds) -> None:
        """Add those of other dialogues."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def shares(self) -> dict[str, float]:
        """Shares of the critical path by what was awaited; `rest` is the dialogues' own work."""
        if not self.total:
            return {}
        waits = {name: getattr(self, name) / self.total for name in get_args(Awaited)}
        return {**waits, "rest": 1.0 - sum(waits.values())}


def collection_parts(collecting: float, waited: DialogueSeconds) -> dict[str, float]:
    """The seconds of collecting, `time/collect_*`, in proportion to what its dialogues awaited."""
    return {f"time/collect_{name}": share * collecting for name, share in waited.shares().items()}


class DialogueClock:
    """Measures one dialogue from its beginning to the last answer that it needs.

    `now` tells the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began = self._spoken = now()
        self._waited = DialogueSeconds(dialogues=1)
        self._arrived = {"beliefs": self._began, "judge": self._began}

    @contextmanager
    def waiting(self, awaited: Literal["policy", "user", "beliefs"]) -> Iterator[None]:
        """Count a block in which the dialogue can do nothing else."""
        began = self._now()
        yield
        seconds = getattr(self._waited, awaited) + self._now() - began
        setattr(self._waited, awaited, seconds)

    def arrived(self, answer: Literal["beliefs", "judge"]) -> None:
        """An answer that nobody waited for until now is here."""
        self._arrived[answer] = self._now()

    def spoken(self) -> None:
        """The last word was said."""
        self._spoken = self._now()

    def result(self) -> DialogueSeconds:
        """The seconds of the dialogue, all of whose answers have arrived."""
        judged = max(self._spoken, self._arrived["judge"])
        over = max(judged, self._arrived["beliefs"])
        self._waited.judge += judged - self._spoken
        self._waited.beliefs += over - judged
        self._waited.total = over - self._began
        return self._waited
