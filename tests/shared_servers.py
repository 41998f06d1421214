"""One Ray for all tests of a process that ask for it, and servers of the packaged models in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from curio_ray.config import RunConfig, load_config
from curio_ray.serving.client import ServerClient
from curio_ray.serving.launch import ServerSet, start_servers
from curio_ray.serving.replicas import Replica
from curio_ray.serving.requests import GenerateRequest, GenerateResult

POCKET_CONFIG = Path(__file__).parents[1] / "configs" / "pocket.yaml"


@dataclass
class Running:
    """A run's config with its started servers."""

    config: RunConfig
    servers: ServerSet

    def ask(
        self, requests: list[GenerateRequest], server: str = "policy"
    ) -> list[GenerateResult | BaseException]:
        """Send all requests at once; answers or errors in the order of the requests."""

        async def converse(client: ServerClient) -> list[GenerateResult | BaseException]:
            calls = [client.generate(request, str(n)) for n, request in enumerate(requests)]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.with_client(converse, server)

    def with_client(
        self, use: Callable[[ServerClient], Coroutine[Any, Any, Any]], server: str = "policy"
    ) -> Any:
        """Run a coroutine with a client that is closed afterwards."""

        async def run() -> Any:
            client = self.servers.client(server)
            try:
                return await use(client)
            finally:
                await client.close()

        return asyncio.run(run())


def start(config: RunConfig) -> ServerSet:
    """The servers of a config, started."""
    servers = start_servers(config)
    try:
        servers.wait_ready()
    except BaseException:
        servers.shutdown()
        raise
    return servers


class SharedServers:
    """A Ray on this machine and servers in it that several tests ask, each started when needed.

    Only for tests that leave the servers as they are: no other weights, no kills.
    """

    def __init__(self) -> None:
        self._started: list[ServerSet] = []
        self._actors: dict[str, Any] = {}

    def ray_alone(self) -> None:
        """A Ray without these servers, which would take memory from others."""
        for servers in self._started:
            servers.shutdown()
        self._started.clear()
        self._actors.clear()
        self._start_ray()

    def running(self, *overrides: str) -> Running:
        """The pocket config with overrides; starts those of its servers that do not run yet."""
        self._start_ray()
        config = load_config(POCKET_CONFIG, overrides)
        wanted = {repr(server): name for name, server in config.servers.items()}
        names = [name for key, name in wanted.items() if key not in self._actors]
        absent = {name: config.servers[name] for name in names}
        if absent:
            self._started.append(start(config.model_copy(update={"servers": absent})))
            for name, server in absent.items():
                [self._actors[repr(server)]] = self._started[-1].replicas(name)
        replicas = []
        for name, server in config.servers.items():
            actor = self._actors[repr(server)]
            replicas.append(Replica(name, 0, actor, actor.ready.remote()))
        deadline_s = config.cluster.recovery_deadline_s
        return Running(config, ServerSet(dict(config.servers), replicas, deadline_s))

    def end(self) -> None:
        """End the servers and Ray."""
        if ray.is_initialized():
            self.ray_alone()
            ray.shutdown()

    def _start_ray(self) -> None:
        if not ray.is_initialized():
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
