"""Dialogues held by this very process, where no runner actors are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from curio_ray.config import RunConfig
from curio_ray.models.client import ServerClient
from curio_ray.models.roles import RoleFormats, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.collect import collect_dialogues
from curio_ray.rollout.runner import Replicas
from curio_ray.tasks.base import Task


class LocalRunners:
    """Holds dialogues in the calling process against running servers."""

    def __init__(self, config: RunConfig, task: Task, replicas: Replicas) -> None:
        self._config = config
        self._task = task
        self._replicas = replicas
        self._formats = RoleFormats(config.roles, config.servers, task)

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        """Hold all assigned dialogues."""
        return asyncio.run(self._collect(assignments, options))

    async def _collect(
        self, assignments: Sequence[Assignment], options: RolloutOptions
    ) -> RolloutBatch:
        clients = {
            name: ServerClient(name, handles, self._config.servers[name].request_deadline_s)
            for name, handles in self._replicas.items()
        }
        roles = connect_roles(self._config.roles, self._formats, clients, self._task)
        try:
            return await collect_dialogues(self._task, roles, assignments, options)
        finally:
            for client in clients.values():
                await client.close()
