"""Holds many dialogues at once, in the calling process or as RLlib's EnvRunner in one of its own.

Each dialogue ends finished, retried, or failed with a reason.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ray.actor import ActorHandle

from curio_ray.config import RunConfig, parse_config
from curio_ray.dialogue import Dialogue
from curio_ray.errors import CurioError, DeadlineError, RolloutError
from curio_ray.heavy_imports import (
    hide_gpus,
    import_transformers_without_torch,
    without_collections,
)
from curio_ray.roles.roles import RoleFormats, Roles, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.clock import DialogueSeconds
from curio_ray.rollout.conversation import hold_dialogue
from curio_ray.rollout.failures import Failure, failure_kind, worth_another_try
from curio_ray.serving.clients import SamplingClient, make_client
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task
from curio_ray.tracking.prometheus import DialogueGauges

logger = logging.getLogger(__name__)

T = TypeVar("T")

SHORTEST_WAIT_S = 0.1

Replicas = Mapping[str, Sequence[ActorHandle]]
"""Actor handles of the replicas of each server, by its name."""


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


class DialogueRunner:
    """Holds the dialogues it is given; keeps nothing between calls but its connections.

    RLlib's groups, restarts and health probes take it for an EnvRunner (the driver declares it
    one). It does not inherit from that class: the import of RLlib would make up most
    of the process. A task that needs PyTorch here imports it at the top of its module.

    No method is a coroutine: Ray would run the actor inside an event loop, which has no room for
    the dialogues' own.

    Args:
        run: the run's config as plain values.
        index: the runner's number, from 1 on.
    """

    def __init__(self, run: dict[str, Any], index: int) -> None:
        hide_gpus()
        self._index = index
        config = parse_config(run)
        # All dialogues would wait while what was imported and loaded is searched for garbage.
        with without_collections():
            task = make_task(config.task, config.seed)
            import_transformers_without_torch()
            self._local = LocalRunners(config, task, config.rollout.runners)

    def ping(self) -> str:
        """RLlib's probe of a runner that it took for lost."""
        return "pong"

    def apply(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Every call of RLlib: a function of the runner."""
        return func(self, *args, **kwargs)

    def assert_healthy(self) -> None:
        """RLlib's probe: the runner was built completely."""
        assert self._local is not None

    def sample(
        self, assignments: Sequence[Assignment], options: RolloutOptions, replicas: Replicas
    ) -> RolloutBatch | RolloutError:
        """Hold the assigned dialogues.

        An error is returned, not raised: RLlib takes a runner that raises out of service and
        its work is tried again, which would only meet the same error.
        """
        try:
            self._local.connect(replicas)
            return self._local.collect(assignments, options)
        except Exception:  # noqa: BLE001 - see the docstring
            return RolloutError(f"dialogue runner {self._index}: {traceback.format_exc()}")

    def stop(self) -> None:
        """Close the connections."""
        self._local.close()


class LocalRunners:
    """Holds dialogues on an event loop of its own.

    `sharers` is how many processes hold dialogues, and share what an endpoint may be asked at once.

    Raises:
        TemplateError: a model's chat template cannot be extended token by token.
    """

    def __init__(self, config: RunConfig, task: Task, sharers: int = 1) -> None:
        self._config = config
        self._task = task
        self.formats = RoleFormats(config, task)
        self._loop = asyncio.new_event_loop()
        self._gauges = DialogueGauges(config.output.name)
        self._sharers = sharers
        self._clients: dict[str, SamplingClient] = {}
        self._connected_to: dict[str, list[str]] = {}
        self._roles: Roles | None = None
        self.restarts = 0

    def connect(self, replicas: Replicas) -> None:
        """Speak to these replicas of each server from now on."""
        wanted = {name: [str(each) for each in handles] for name, handles in replicas.items()}
        if self._roles is not None and wanted == self._connected_to:
            return
        self._loop.run_until_complete(self._disconnect())
        recovery_s = self._config.cluster.recovery_deadline_s
        self._clients = {
            name: make_client(name, server, replicas.get(name, ()), recovery_s, self._sharers)
            for name, server in self._config.servers.items()
        }
        self._roles = connect_roles(self._config.roles, self.formats, self._clients, self._task)
        self._connected_to = wanted

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        """Hold all assigned dialogues; `connect` comes first."""
        if self._roles is None:
            raise RuntimeError("not connected to any server; call connect first")
        batch = self._loop.run_until_complete(
            collect_dialogues(self._task, self._roles, assignments, options, self._gauges)
        )
        self._gauges.handed_over()
        return batch

    def close(self) -> None:
        """End the connections and the event loop."""
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()

    async def _disconnect(self) -> None:
        for client in self._clients.values():
            await client.close()


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
    random = options.temperature > 0 or roles.environment.role.temperature > 0
    attempt = 1
    while True:
        try:
            held = hold_dialogue(task, roles, assignment, options, attempt)
            dialogue, seconds = await within(held, options.deadline_s, roles.outage_s)
            batch.seconds.add(seconds)
            return dialogue
        except* CurioError as group:
            errors = _leaves(group)
        except* TimeoutError:
            errors = [DeadlineError(f"the dialogue took more than {options.deadline_s:g} s")]
        reason, kind = "; ".join(dict.fromkeys(map(str, errors))), failure_kind(errors)
        logger.warning("dialogue %s, attempt %d: %s", assignment.dialogue_id, attempt, reason)
        if attempt == options.attempts or not worth_another_try(kind, random):
            return Failure(assignment.dialogue_id, assignment.user, kind, reason, attempt)
        attempt += 1
        batch.retries += 1


def _leaves(group: BaseExceptionGroup) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


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
