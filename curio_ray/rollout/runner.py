"""The dialogue runner: an RLlib EnvRunner that holds dialogues against model servers."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from ray.actor import ActorHandle
from ray.rllib.env.env_runner import EnvRunner

from curio_ray.config import parse_config
from curio_ray.errors import RolloutError
from curio_ray.models.client import ServerClient
from curio_ray.models.roles import RoleFormats, Roles, connect_roles
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.collect import collect_dialogues
from curio_ray.tasks.registry import make_task

Replicas = Mapping[str, Sequence[ActorHandle]]


class DialogueRunner(EnvRunner):
    """Holds the dialogues it is given; keeps nothing between calls but its connections."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self._run = parse_config(config.run)
        self._task = make_task(self._run.task, self._run.seed)
        self._formats = RoleFormats(self._run.roles, self._run.servers, self._task)
        self._loop = asyncio.new_event_loop()
        self._roles: Roles | None = None
        self._clients: dict[str, ServerClient] = {}
        self._connected_to: dict[str, list[str]] = {}

    def sample(  # type: ignore[override]
        self, assignments: Sequence[Assignment], options: RolloutOptions, replicas: Replicas
    ) -> RolloutBatch | RolloutError:
        """Hold the assigned dialogues.

        An error is returned, not raised: RLlib ends a runner that raises and loses the reason.
        """
        try:
            return self._loop.run_until_complete(self._sample(assignments, options, replicas))
        except Exception:  # noqa: BLE001 - see the docstring
            return RolloutError(f"dialogue runner {self.worker_index}: {traceback.format_exc()}")

    async def _sample(
        self, assignments: Sequence[Assignment], options: RolloutOptions, replicas: Replicas
    ) -> RolloutBatch:
        roles = await self._connect(replicas)
        return await collect_dialogues(self._task, roles, assignments, options)

    async def _connect(self, replicas: Replicas) -> Roles:
        wanted = {name: [str(each) for each in handles] for name, handles in replicas.items()}
        if self._roles is None or wanted != self._connected_to:
            await self._disconnect()
            self._clients = {
                name: ServerClient(name, handles, self._run.servers[name].request_deadline_s)
                for name, handles in replicas.items()
            }
            self._roles = connect_roles(self._run.roles, self._formats, self._clients, self._task)
            self._connected_to = wanted
        return self._roles

    async def _disconnect(self) -> None:
        for client in self._clients.values():
            await client.close()

    def assert_healthy(self) -> None:
        """RLlib's probe: the runner was built completely."""
        assert self._formats is not None

    def get_spaces(self) -> dict:
        """No gym spaces: dialogues are text."""
        return {}

    def get_metrics(self) -> dict:
        """Metrics are computed from the dialogues by the driver."""
        return {}

    def get_state(self, *args: Any, **kwargs: Any) -> dict:
        """A runner has no state to keep."""
        return {}

    def set_state(self, *args: Any, **kwargs: Any) -> None:
        """A runner has no state to restore."""

    def stop(self) -> None:
        """Close the connections."""
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()
