"""What the driver asks of the runners, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from curio_ray.config.training import StallConfig
from curio_ray.dialogue import Dialogue, User
from curio_ray.rollout.clock import DialogueSeconds


@dataclass(frozen=True, slots=True)
class Assignment:
    """One dialogue to hold. The same id, user and seed always give the same sampling seeds."""

    dialogue_id: str
    user: User
    seed: int

    def sampling_seed(self, attempt: int, turn: int) -> int:
        """The seed of one request; attempts and turns never share one."""
        return int(np.random.SeedSequence([self.seed, attempt, turn]).generate_state(1)[0])


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """How to hold dialogues.

    With `judged` the reward model reads each finished dialogue; otherwise the task's rule scores.
    With `stall` a dialogue whose belief no longer moves goes on to the policy's last turn at once.
    With `beliefs_before_replies` the belief is also read after the policy's words alone.
    `quality` names the task's quality terms by which the reward model judges each policy turn.
    """

    temperature: float
    judged: bool
    attempts: int
    in_flight: int
    deadline_s: float
    beliefs_before_replies: bool = False
    stall: StallConfig | None = None
    quality: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A dialogue that could not be finished in any attempt; the driver replaces it."""

    dialogue_id: str
    user_id: str
    reason: str


@dataclass(slots=True)
class RolloutBatch:
    """Dialogues in the order they were asked for, the failed ones left out and listed.

    `seconds` are of the attempts that succeeded.
    """

    dialogues: list[Dialogue] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    retries: int = 0
    first_dialogue_at: float | None = None
    seconds: DialogueSeconds = field(default_factory=DialogueSeconds)

    def extend(self, other: RolloutBatch) -> None:
        """Add another batch to this one."""
        self.dialogues.extend(other.dialogues)
        self.failures.extend(other.failures)
        self.retries += other.retries
        self.seconds.add(other.seconds)
        moments = [self.first_dialogue_at, other.first_dialogue_at]
        self.first_dialogue_at = min((m for m in moments if m is not None), default=None)
