"""Servers and dialogues that the benchmarks of whole dialogues share."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import ray
from spoken_server import SpokenServer

from curio_ray.config import RunConfig
from curio_ray.config.servers import ServerConfig
from curio_ray.errors import CurioError
from curio_ray.roles.roles import RoleFormats, Roles, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.runner import RolloutBatch, collect_dialogues
from curio_ray.serving import server as server_module
from curio_ray.serving.client import ServerClient
from curio_ray.serving.server import ModelServer
from curio_ray.tasks.base import Task

DEADLINE_S = 600.0
SERVERS = (("policy", "policy", True), ("frozen", "frozen", True), ("scorer", "frozen", False))


class MeasuredServer(ModelServer):
    """A model server whose prefix cache can be emptied, or left out."""

    def __init__(self, name: str, config: ServerConfig, caching: bool) -> None:
        super().__init__(name, config)
        arguments = server_module.engine_arguments
        server_module.engine_arguments = lambda *given: {
            **arguments(*given),
            "enable_prefix_caching": caching,
        }

    async def forget_prefixes(self) -> None:
        """Empty the prefix cache."""
        engine: Any = self._engine
        await engine._between_steps(engine._engine.reset_prefix_cache)


class MeasuredSpokenServer(MeasuredServer, SpokenServer):
    """The same, with utterances as long as in real conversations."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the engines did: seconds in steps by server, and prompt tokens read, cached ones not."""

    busy_seconds: dict[str, float]
    tokens_read: int
    tokens_sampled: int

    def since(self, before: Work) -> Work:
        """The work after `before`."""
        busy = {name: self.busy_seconds[name] - before.busy_seconds[name] for name in self.servers}
        return Work(
            busy,
            self.tokens_read - before.tokens_read,
            self.tokens_sampled - before.tokens_sampled,
        )

    @property
    def servers(self) -> list[str]:
        """The servers' names."""
        return list(self.busy_seconds)


class World:
    """The servers, and ways to hold dialogues with them.

    `scorer` is a second server with the frozen roles' model, which keeps no prefix cache.
    """

    def __init__(
        self, config: RunConfig, task: Task, server: type[MeasuredServer] = MeasuredServer
    ) -> None:
        self.config = config
        self.task = task
        self.formats = RoleFormats(config, self.task)
        actor = ray.remote(server)
        self.servers = {
            name: actor.options(num_cpus=0).remote(name, config.servers[of], caching)
            for name, of, caching in SERVERS
        }
        ray.get([each.ready.remote() for each in self.servers.values()])
        # As in a runner's process
        gc.freeze()

    def end(self) -> None:
        """End the servers' processes."""
        for each in self.servers.values():
            ray.kill(each)

    def work(self) -> Work:
        """What the engines did until now."""
        totals = ray.get([each.stats.remote() for each in self.servers.values()])
        return Work(
            {each["server"]: each["busy_seconds"] for each in totals},
            sum(each["prompt_tokens"] - each["cached_prompt_tokens"] for each in totals),
            sum(each["sampled_tokens"] for each in totals),
        )

    def assignments(self, count: int, first: int = 0) -> list[Assignment]:
        """Dialogues with users of the train split."""
        users = self.task.users("train")
        return [
            Assignment(f"made-{first + n:06d}", users[n % len(users)], first + n)
            for n in range(count)
        ]

    async def hold(
        self, roles: Roles, assignments: list[Assignment], in_flight: int
    ) -> tuple[RolloutBatch, float]:
        """Hold dialogues; the batch and the seconds.

        Raises:
            CurioError: a dialogue needed a second attempt.
        """
        options = RolloutOptions(1.0, True, 1, in_flight, DEADLINE_S)
        began = time.perf_counter()
        batch = await collect_dialogues(self.task, roles, assignments, options)
        seconds = time.perf_counter() - began
        if batch.failures:
            raise CurioError(f"{len(batch.failures)} failed, as {batch.failures[0].reason}")
        return batch, seconds

    def clients(self, kind: type[ServerClient] = ServerClient) -> dict[str, Any]:
        """A client of each server."""
        return {
            name: kind(name, [actor], DEADLINE_S, DEADLINE_S)
            for name, actor in self.servers.items()
        }

    def roles(self, clients: dict[str, Any]) -> Roles:
        """All roles on these clients."""
        return connect_roles(self.config.roles, self.formats, clients, self.task)

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine with empty prefix caches."""
        ray.get([each.forget_prefixes.remote() for each in self.servers.values()])
        return asyncio.run(work())


async def close(clients: dict[str, ServerClient]) -> None:
    """Close all clients."""
    await asyncio.gather(*(each.close() for each in clients.values()))
