"""Servers of the pocket models, and roles that fail on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from shared_servers import POCKET_CONFIG, Running

from curio_ray.config import RunConfig
from curio_ray.errors import RolloutError
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.environment import EnvironmentModel, EnvironmentSession, Reply
from curio_ray.roles.roles import RoleFormats, Roles, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.batches import make_assignments
from curio_ray.rollout.runner import RolloutBatch, collect_dialogues
from curio_ray.serving.launch import ServerSet
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task

__all__ = ["POCKET_CONFIG", "Rollouts"]


class FailingSession:
    """A simulated user that makes a fault: raises, hangs, or answers like the real one."""

    def __init__(self, real: EnvironmentSession, fault: str | None) -> None:
        self._real = real
        self._fault = fault

    async def reply(self, utterance: str, seed: int) -> Reply:
        if self._fault == "raises":
            raise RolloutError("the simulated user failed on purpose")
        if self._fault == "hangs":
            await asyncio.sleep(3600)
        return await self._real.reply(utterance, seed)


class FailingEnvironment:
    """An environment model whose first `faults` sessions with some users fail."""

    def __init__(self, real: EnvironmentModel, fault: str, faults: int, users: set[str]) -> None:
        self._real = real
        self._fault = fault
        self._left = dict.fromkeys(users, faults)
        self.role = real.role

    def session(self, persona: str, opening: str, dialogue_id: str) -> FailingSession:
        fails = self._left.get(dialogue_id, 0) > 0
        self._left[dialogue_id] = self._left.get(dialogue_id, 0) - 1
        real = self._real.session(persona, opening, dialogue_id)
        return FailingSession(real, self._fault if fails else None)


@dataclass
class Rollouts:
    """Holds dialogues with the real pocket models, some of them with a failing user."""

    config: RunConfig
    servers: ServerSet
    task: Task

    def assignments(self, count: int) -> list[Assignment]:
        return make_assignments("train", self.task.users("train")[:count], 0, seed=3)

    def options(self, **changes: object) -> RolloutOptions:
        options = RolloutOptions(
            temperature=1.0, judged=True, attempts=2, in_flight=64, deadline_s=60
        )
        return replace(options, **changes)

    def hold(
        self,
        assignments: list[Assignment],
        options: RolloutOptions,
        fault: str = "none",
        faults: int = 0,
    ) -> RolloutBatch:
        """Hold dialogues; the first assignment's user fails `faults` times."""
        faulty = {assignments[0].dialogue_id}

        def fail(roles: Roles) -> Roles:
            failing = FailingEnvironment(roles.environment, fault, faults, faulty)
            return replace(roles, environment=failing)

        return self.hold_with(fail, assignments, options)

    def hold_with(
        self,
        change: Callable[[Roles], Roles],
        assignments: list[Assignment],
        options: RolloutOptions,
    ) -> RolloutBatch:
        """Hold dialogues with the real roles after a change, such as a client that makes faults."""

        async def run() -> RolloutBatch:
            clients = {name: self.servers.client(name) for name in self.servers.names}
            roles = change(self._roles(clients))
            batch = await collect_dialogues(self.task, roles, assignments, options)
            for client in clients.values():
                await client.close()
            return batch

        return asyncio.run(run())

    def chat(self) -> ChatFormat:
        """The policy's format."""
        return RoleFormats(self.config, self.task).policy

    def _roles(self, clients: dict) -> Roles:
        formats = RoleFormats(self.config, self.task)
        return connect_roles(self.config.roles, formats, clients, self.task)


@pytest.fixture(scope="module")
def rollouts(shared_servers: Callable[..., Running]) -> Rollouts:
    running = shared_servers()
    config = running.config
    return Rollouts(config, running.servers, make_task(config.task, config.seed))
