"""Waiting for the same call on every rank: who was late, who died, who failed and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from curio_ray.errors import CurioError, DeadlineError, LearnerError

GRACE_S = 5.0
"""How long to look for the rank that died once another has failed in a collective with it."""


def wait_for_ranks(
    calls: Sequence[ray.ObjectRef], method: str, field: str, deadline_s: float
) -> list[Any]:
    """The results of one call per rank, in the order of ranks.

    Args:
        calls: the pending call of each rank.
        method: what was called, for messages.
        field: path of the config field that holds the deadline, for messages.
        deadline_s: how long all ranks together may take.

    Raises:
        DeadlineError: naming the ranks that had not answered.
        LearnerError: naming the rank that died, else the first that failed, with the cause.
        CurioError: of the type that a rank raised, naming the rank.
    """
    pending = list(calls)
    results: dict[ray.ObjectRef, Any] = {}
    failures: dict[int, RayError] = {}
    until = time.monotonic() + deadline_s
    while pending and not _has_death(failures):
        left = min(until - time.monotonic(), GRACE_S if failures else deadline_s)
        done, pending = ray.wait(pending, num_returns=1, timeout=max(left, 0))
        if not done:
            break
        try:
            results[done[0]] = ray.get(done[0])
        except RayError as error:
            failures[calls.index(done[0])] = error
    if failures:
        raise _explain(failures, method)
    if pending:
        late = ", ".join(str(calls.index(call)) for call in pending)
        raise DeadlineError(
            f"learner rank {late} did not finish {method} within {deadline_s:g} s; "
            f"raise {field}, or look for a stuck rank in its log"
        )
    return [results[call] for call in calls]


def _has_death(failures: dict[int, RayError]) -> bool:
    return any(isinstance(error, RayActorError) for error in failures.values())


def _explain(failures: dict[int, RayError], method: str) -> CurioError:
    dead = [rank for rank, error in failures.items() if isinstance(error, RayActorError)]
    rank = dead[0] if dead else next(iter(failures))
    error = failures[rank]
    explained: CurioError
    if dead:
        explained = LearnerError(
            f"learner rank {rank} died during {method}; go on from the last checkpoint with "
            "curio train --resume RUN"
        )
    elif isinstance(error, RayTaskError) and isinstance(error.cause, CurioError):
        explained = type(error.cause)(f"learner rank {rank}: {error.cause}")
    else:
        explained = LearnerError(f"learner rank {rank} failed in {method}: {error}")
    explained.__cause__ = error
    return explained
