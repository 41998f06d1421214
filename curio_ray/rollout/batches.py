"""The batches that training learns from: full, in order, collected up to a bound ahead."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, get_args

import numpy as np

from curio_ray.config import RunConfig
from curio_ray.dialogue import User
from curio_ray.errors import RolloutError
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.failures import Failure
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.tasks.base import Split
from curio_ray.tasks.stream import UserStream

logger = logging.getLogger(__name__)

REPLACEMENT_ROUNDS = 3


class Runners(Protocol):
    """Whoever holds dialogues: a pool of actors, or this process itself.

    `restarts` counts those of them that were lost while they held dialogues.
    """

    restarts: int

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        """Hold all assigned dialogues; each ends as a dialogue or as a failure."""


def collect_full_batch(
    runners: Runners,
    draw: Callable[[int], list[Assignment]],
    count: int,
    group_size: int,
    options: RolloutOptions,
) -> RolloutBatch:
    """Exactly `count` dialogues; those that failed are replaced by dialogues with other users.

    Args:
        runners: who holds the dialogues.
        draw: gives that many new assignments, in whole groups.
        count: dialogues wanted.
        group_size: dialogues per user that are compared; a group with a failure is replaced whole.
        options: how to hold them.

    Raises:
        RolloutError: dialogues still fail after three rounds of replacement.
    """
    batch = RolloutBatch()
    for _ in range(1 + REPLACEMENT_ROUNDS):
        held = runners.collect(draw(count - len(batch.dialogues)), options)
        if group_size > 1:
            _drop_broken_groups(held)
        batch.extend(held)
        if len(batch.dialogues) == count:
            return batch
        logger.warning("replacing %d dialogues: %s", count - len(batch.dialogues), _reasons(held))
    raise RolloutError(
        f"{count - len(batch.dialogues)} of {count} dialogues could not be held, even with other "
        f"users; reasons: {_reasons(batch)}"
    )


def _drop_broken_groups(batch: RolloutBatch) -> None:
    broken = {failure.user.id for failure in batch.failures}
    companions = [each for each in batch.dialogues if each.user.id in broken]
    batch.dialogues = [each for each in batch.dialogues if each.user.id not in broken]
    batch.failures += [
        Failure(each.id, each.user, "group", "another dialogue of its group failed", each.attempts)
        for each in companions
    ]


def make_assignments(
    split: Split, users: Sequence[User], first: int, seed: int
) -> list[Assignment]:
    """Number dialogues from `first` on and give each a seed of its own."""
    return [
        Assignment(
            dialogue_id=f"{split}-{ordinal:08d}",
            user=user,
            seed=_seed(seed, split, ordinal),
        )
        for ordinal, user in enumerate(users, start=first)
    ]


def _seed(seed: int, split: Split, ordinal: int) -> int:
    split_number = get_args(Split).index(split)
    return int(np.random.SeedSequence([seed, split_number, ordinal]).generate_state(1)[0])


def _reasons(batch: RolloutBatch) -> str:
    counts = Counter(failure.reason for failure in batch.failures)
    return "; ".join(f"{reason} ({count} times)" for reason, count in counts.most_common(3))


class TrainingBatches:
    """Draws users and has their dialogues held, one batch after the other.

    With `training.max_staleness` = s the batch that is learned from at weight version v begins at
    version v - s or later, since it begins when at most s batches before it are still to be
    learned from. At 0 it is collected when it is asked for, with the weights of that moment.

    A batch is collected by a thread of its own; calls must come one at a time.
    """

    def __init__(self, config: RunConfig, users: Sequence[User], options: RolloutOptions) -> None:
        self._config, self._options = config, options
        self._users = UserStream(users, config.seed)
        self._started = 0
        self._drawing = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collecting")
        self._due: deque[Future[tuple[RolloutBatch, float]]] = deque()
        self._states_before: deque[dict[str, Any]] = deque()

    def next(self, runners: Runners, wanted: int) -> tuple[RolloutBatch, float]:
        """The next batch, and the seconds that its collection took.

        Args:
            runners: who holds the dialogues.
            wanted: how many batches are still to come, this one included; no more are begun.

        Raises:
            CurioError: the batch could not be collected.
        """
        ahead = self._config.training.max_staleness
        while len(self._due) < max(1, min(1 + ahead, wanted)):
            self._due.append(self._thread.submit(self._collect, runners))
        batch, seconds = self._due.popleft().result()
        with self._drawing:
            self._states_before.popleft()
        return batch, seconds

    def settle(self) -> None:
        """Wait until no dialogue is held; what was collected stays for its turn."""
        wait(self._due)

    def state(self) -> dict[str, Any]:
        """What `restore` needs. Batches that nothing was learned from count as not drawn."""
        with self._drawing:
            return self._states_before[0] if self._states_before else self._present_state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; what was collected ahead is dropped.

        Raises:
            ValueError: the state is of other users or of another seed.
            KeyError: the state is not whole.
        """
        for batch in self._due:
            batch.cancel()
        self.settle()
        self._due.clear()
        self._states_before.clear()
        self._users.restore(state["users"])
        self._started = state["started"]

    def close(self) -> None:
        """Begin no other batch, and wait for the one in work."""
        self._thread.shutdown(cancel_futures=True)

    def _collect(self, runners: Runners) -> tuple[RolloutBatch, float]:
        began = time.perf_counter()
        with self._drawing:
            self._states_before.append(self._present_state())
        training, group_size = self._config.training, self._config.credit.group_size
        batch = collect_full_batch(
            runners, self._draw, training.dialogues_per_iteration, group_size, self._options
        )
        return batch, time.perf_counter() - began

    def _draw(self, count: int) -> list[Assignment]:
        with self._drawing:
            users = self._users.take(count, repeat=self._config.credit.group_size)
            assignments = make_assignments("train", users, self._started, self._config.seed)
            self._started += count
            return assignments

    def _present_state(self) -> dict[str, Any]:
        return {"started": self._started, "users": self._users.state()}
