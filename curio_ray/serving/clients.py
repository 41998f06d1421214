"""Whom a role asks: the replicas of a server of this run, or an endpoint behind a URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from curio_ray.config.servers import AnyServerConfig, EndpointConfig
from curio_ray.serving.client import ServerClient
from curio_ray.serving.endpoint import EndpointClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult


class SamplingClient(Protocol):
    """What roles ask of a model, wherever it runs. All calls come from one event loop."""

    @property
    def outage_s(self) -> float:
        """Seconds until now during which nobody answered."""

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request in token ids.

        Raises:
            ServerError: it was refused, or nobody is there to answer it.
            DeadlineError: it took too long.
        """

    async def close(self) -> None:
        """End the connections."""


def make_client(
    name: str,
    server: AnyServerConfig,
    replicas: Sequence[Any],
    recovery_deadline_s: float,
    sharers: int = 1,
) -> SamplingClient:
    """A client of one server or endpoint.

    Args:
        name: the server's in the config.
        server: its config.
        replicas: actor handles; an endpoint has none.
        recovery_deadline_s: how long requests wait for a lost server.
        sharers: how many processes ask an endpoint; each has its part of `max_in_flight`.

    Raises:
        ServerError: an endpoint's key is not in the environment.
    """
    if isinstance(server, EndpointConfig):
        return EndpointClient(name, server, max(1, server.max_in_flight // sharers))
    return ServerClient(
        name, replicas, server.request_deadline_s, recovery_deadline_s, server.max_model_len
    )
