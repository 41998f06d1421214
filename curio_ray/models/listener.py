"""The server's end of its clients' connections: requests in, answers out as they finish."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import msgspec
import ray

from curio_ray.models.requests import GenerateRequest, GenerateResult
from curio_ray.models.wire import (
    LONGEST_BYTES,
    Address,
    Answers,
    Asks,
    Frames,
    framed,
    notice_silence,
)

Generate = Callable[[GenerateRequest], Awaitable[GenerateResult]]


class Listener:
    """Answers requests of any number of clients, each over a connection of its own.

    A client that goes away takes its unanswered requests with it. `count` is told how many are
    unanswered whenever that changes.
    """

    def __init__(self, generate: Generate, count: Callable[[int], None]) -> None:
        self.generate = generate
        self.connections: set[_Connection] = set()
        self._count = count
        self._opening: asyncio.Task[Address] | None = None

    async def address(self) -> Address:
        """Where to connect; the first call begins to listen, at a free port of this node."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await self._opening

    @property
    def unanswered(self) -> int:
        """Requests that wait for their answer."""
        return sum(len(each.running) for each in self.connections)

    def disconnect(self) -> None:
        """Break all connections: clients ask others, and come back when this server serves."""
        for each in list(self.connections):
            each.end()

    def changed(self) -> None:
        """The number of unanswered requests is another one."""
        self._count(self.unanswered)

    async def _open(self) -> Address:
        host, password = ray.util.get_node_ip_address(), secrets.token_hex()
        server = await asyncio.get_running_loop().create_server(
            partial(_Connection, self, password.encode()), host, 0
        )
        return Address(host, server.sockets[0].getsockname()[1], password)


class _Connection(asyncio.Protocol):
    """One client: a stranger until its first frame is the password."""

    def __init__(self, listener: Listener, password: bytes) -> None:
        self.running: dict[int, asyncio.Future[GenerateResult]] = {}
        self._listener = listener
        self._password = password
        self._frames = Frames(longest=len(password))
        self._asks = msgspec.msgpack.Decoder(Asks)
        self._finished: Answers = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        notice_silence(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived in full."""
        for each in self._frames.feed(data):
            if self in self._listener.connections:
                self._take(self._asks.decode(each))
            elif hmac.compare_digest(each, self._password):
                self._frames.longest = LONGEST_BYTES
                self._listener.connections.add(self)
            else:
                self.end()
                return

    def connection_lost(self, error: Exception | None) -> None:
        """Abort what the client asked for."""
        self._listener.connections.discard(self)
        for answer in self.running.values():
            answer.cancel()

    def end(self) -> None:
        """Break the connection."""
        self._transport.abort()

    def _take(self, asks: Asks) -> None:
        for number, request in asks.requests:
            answer = asyncio.ensure_future(self._listener.generate(request))
            self.running[number] = answer
            answer.add_done_callback(partial(self._finish, number))
        for number in asks.cancelled:
            if number in self.running:
                self.running[number].cancel()
        self._listener.changed()

    def _finish(self, number: int, answer: asyncio.Future[GenerateResult]) -> None:
        del self.running[number]
        self._listener.changed()
        if answer.cancelled():
            return
        error = answer.exception()
        if not self._finished:
            asyncio.get_running_loop().call_soon(self._send)
        self._finished.append((number, answer.result() if error is None else str(error)))

    def _send(self) -> None:
        """Everything that has finished, in one frame."""
        finished, self._finished = self._finished, []
        self._transport.write(framed(msgspec.msgpack.encode(finished)))
