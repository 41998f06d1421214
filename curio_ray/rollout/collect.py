"""Many dialogues in flight; each one ends finished, retried, or failed with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from curio_ray.dialogue import Dialogue
from curio_ray.errors import CurioError, DeadlineError
from curio_ray.roles.roles import Roles
from curio_ray.rollout.assignment import Assignment, Failure, RolloutBatch, RolloutOptions
from curio_ray.rollout.conversation import hold_dialogue
from curio_ray.tasks.base import Task
from curio_ray.tracking.prometheus import DialogueGauges

logger = logging.getLogger(__name__)


async def collect_dialogues(
    task: Task,
    roles: Roles,
    assignments: Sequence[Assignment],
    options: RolloutOptions,
    gauges: DialogueGauges | None = None,
) -> RolloutBatch:
    """Hold all assigned dialogues, at most `options.in_flight` at once, none waiting for another.

    Every assignment is in the returned batch exactly once: as a dialogue or as a failure.
    """
    slots = asyncio.Semaphore(options.in_flight)
    batch = RolloutBatch()

    async def hold(assignment: Assignment) -> Dialogue | Failure:
        async with slots:
            with nullcontext() if gauges is None else gauges.in_flight():
                outcome = await _hold_with_retries(task, roles, assignment, options, batch)
        if batch.first_dialogue_at is None:
            batch.first_dialogue_at = time.time()
        return outcome

    outcomes = await asyncio.gather(*(hold(assignment) for assignment in assignments))
    batch.dialogues = [each for each in outcomes if isinstance(each, Dialogue)]
    batch.failures = [each for each in outcomes if isinstance(each, Failure)]
    return batch


async def _hold_with_retries(
    task: Task,
    roles: Roles,
    assignment: Assignment,
    options: RolloutOptions,
    batch: RolloutBatch,
) -> Dialogue | Failure:
    reason = ""
    for attempt in range(1, options.attempts + 1):
        try:
            held = hold_dialogue(task, roles, assignment, options, attempt)
            dialogue, seconds = await within(held, options.deadline_s, roles.outage_s)
            batch.seconds.add(seconds)
            return dialogue
        except* CurioError as group:
            reason = "; ".join(str(error) for error in _leaves(group))
        except* TimeoutError:
            reason = str(DeadlineError(f"the dialogue took more than {options.deadline_s:g} s"))
        logger.warning("dialogue %s, attempt %d: %s", assignment.dialogue_id, attempt, reason)
        if attempt < options.attempts:
            batch.retries += 1
    return Failure(assignment.dialogue_id, assignment.user.id, reason)


def _leaves(group: BaseExceptionGroup) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


T = TypeVar("T")

SHORTEST_WAIT_S = 0.1


async def within(
    work: Coroutine[Any, Any, T], deadline_s: float, outage_s: Callable[[], float]
) -> T:
    """The result of some work, which is cancelled when it takes too long.

    Args:
        work: what to wait for.
        deadline_s: how long it may take, outages not counted.
        outage_s: seconds of outage until now, from any beginning.

    Raises:
        TimeoutError: it took longer.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s - outage_s()
    task = loop.create_task(work)
    try:
        while not task.done():
            left = until + outage_s() - loop.time()
            if left <= 0:
                raise TimeoutError
            await asyncio.wait({task}, timeout=max(left, SHORTEST_WAIT_S))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
