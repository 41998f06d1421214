"""Dialogues held by the calling process, against running model servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from ray.actor import ActorHandle

from curio_ray.config import RunConfig
from curio_ray.roles.roles import RoleFormats, Roles, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.collect import collect_dialogues
from curio_ray.serving.client import ServerClient
from curio_ray.tasks.base import Task
from curio_ray.tracking.prometheus import DialogueGauges

Replicas = Mapping[str, Sequence[ActorHandle]]


class LocalRunners:
    """Holds dialogues on an event loop of its own.

    Raises:
        TemplateError: a model's chat template cannot be extended token by token.
    """

    def __init__(self, config: RunConfig, task: Task) -> None:
        self._config = config
        self._task = task
        self._formats = RoleFormats(config.roles, config.servers, task)
        self._loop = asyncio.new_event_loop()
        self._gauges = DialogueGauges(config.output.name)
        self._clients: dict[str, ServerClient] = {}
        self._connected_to: dict[str, list[str]] = {}
        self._roles: Roles | None = None

    def connect(self, replicas: Replicas) -> None:
        """Speak to these replicas of each server from now on."""
        wanted = {name: [str(each) for each in handles] for name, handles in replicas.items()}
        if self._roles is not None and wanted == self._connected_to:
            return
        self._loop.run_until_complete(self._disconnect())
        self._clients = {
            name: ServerClient(
                name,
                handles,
                self._config.servers[name].request_deadline_s,
                self._config.cluster.recovery_deadline_s,
            )
            for name, handles in replicas.items()
        }
        self._roles = connect_roles(self._config.roles, self._formats, self._clients, self._task)
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
