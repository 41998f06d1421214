"""What a client says of a server that cannot take its requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import ray

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import ServerError
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest
from curio_ray.serving.server import ModelServer

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def server(local_ray: None) -> Any:
    """A model server whose engine nobody started."""
    return ray.remote(ModelServer).remote("policy", ServerConfig(model="pocket:policy"))


def ask(server: Any, *requests: GenerateRequest) -> None:
    async def converse() -> None:
        client = ServerClient("policy", [server], DEADLINE_S, DEADLINE_S)
        try:
            for request in requests:
                await client.generate(request, "a")
        finally:
            await client.close()

    asyncio.run(converse())


def test_a_server_that_has_not_started_fails_its_requests_with_the_reason(server: Any) -> None:
    with pytest.raises(ServerError, match=r"server 'policy' .* failed .*has not started"):
        ask(server, GenerateRequest([5]))


def test_a_server_that_is_dead_fails_its_requests_with_the_reason(server: Any) -> None:
    ray.kill(server)
    with pytest.raises(ServerError, match=r"server 'policy' .* died or became unreachable \(.+\)"):
        ask(server, GenerateRequest([5]))
