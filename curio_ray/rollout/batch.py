"""A full batch of dialogues: draws users, and draws others for dialogues that failed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, get_args

import numpy as np

from curio_ray.dialogue import User
from curio_ray.errors import RolloutError
from curio_ray.rollout.assignment import Assignment, Failure, RolloutBatch, RolloutOptions
from curio_ray.tasks.base import Split

logger = logging.getLogger(__name__)

REPLACEMENT_ROUNDS = 3


class Runners(Protocol):
    """Whoever holds dialogues: a pool of actors, or this process itself."""

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
    broken = {failure.user_id for failure in batch.failures}
    companions = [each for each in batch.dialogues if each.user.id in broken]
    batch.dialogues = [each for each in batch.dialogues if each.user.id not in broken]
    batch.failures += [
        Failure(each.id, each.user.id, "another dialogue of its group failed")
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
