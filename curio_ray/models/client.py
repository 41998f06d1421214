"""The client of one server: which replica answers a request, and until when to wait for it."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import Any

from curio_ray.errors import DeadlineError, ReplicaLostError
from curio_ray.models.replica_link import ReplicaLink
from curio_ray.models.requests import GenerateRequest, GenerateResult

MOST_LOSSES = 3
"""A request over which so many replicas were lost may be what ends them."""


class ServerClient:
    """Sends requests to a server's replicas. All calls must come from one event loop.

    Requests with the same routing key go to the same replica, which holds the prefix that they
    share. What a lost replica did not answer goes to another one: a request holds all that its
    answer depends on. While no replica is there, requests wait for one to come back.
    """

    def __init__(
        self,
        name: str,
        replicas: Sequence[Any],
        request_deadline_s: float,
        recovery_deadline_s: float,
    ) -> None:
        self.name = name
        self._deadline_s = request_deadline_s
        self._recovery_deadline_s = recovery_deadline_s
        self._links = [ReplicaLink(name, number, actor) for number, actor in enumerate(replicas)]
        self._past_outages_s = 0.0
        self._outage_since: float | None = None

    @property
    def outage_s(self) -> float:
        """Seconds until now during which requests waited for a lost server."""
        since = self._outage_since
        return self._past_outages_s + (0.0 if since is None else time.monotonic() - since)

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request.

        Raises:
            ServerError: the server refused the request, or died for good, or three replicas were
                lost over this request.
            DeadlineError: no answer within `request_deadline_s`, or no replica was there for
                `recovery_deadline_s`.
        """
        for _ in range(MOST_LOSSES):
            link = await self._link(routing_key)
            try:
                return await self._ask(link, request)
            except ReplicaLostError as error:
                lost = error
        raise lost

    async def close(self) -> None:
        """End the connections and abort what is still running."""
        await asyncio.gather(*(link.close() for link in self._links))

    async def _ask(self, link: ReplicaLink, request: GenerateRequest) -> GenerateResult:
        request_id, answer = link.send(request)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except TimeoutError as error:
            raise DeadlineError(
                f"server '{self.name}' did not answer a request of {len(request.prompt_ids)} "
                f"prompt tokens within {self._deadline_s:g} s; "
                f"raise servers.{self.name}.request_deadline_s or send fewer at once"
            ) from error
        finally:
            link.drop(request_id)

    async def _link(self, routing_key: str) -> ReplicaLink:
        """The replica of a routing key; another one while that is lost."""
        if not self._there():
            await self._wait_for_one()
        self._past_outages_s, self._outage_since = self.outage_s, None
        key, there = zlib.crc32(routing_key.encode()), self._there()
        link = self._links[key % len(self._links)]
        return there[key % len(there)] if link.lost else link

    def _there(self) -> list[ReplicaLink]:
        return [link for link in self._links if not link.lost]

    async def _wait_for_one(self) -> None:
        if self._outage_since is None:
            self._outage_since = time.monotonic()
        left = self._outage_since + self._recovery_deadline_s - time.monotonic()
        returns = [link.returning for link in self._links if link.returning is not None]
        await asyncio.wait(returns, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
        if not self._there():
            raise DeadlineError(
                f"server '{self.name}' lost all its replicas and none came back within "
                f"{self._recovery_deadline_s:g} s; raise cluster.recovery_deadline_s, or see what "
                "became of their nodes"
            )
