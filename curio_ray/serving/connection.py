"""The connection between clients and a server: frames of msgpack over TCP, and the server's end.

Only token requests and their answers travel so; everything else of a server is a call of its Ray
actor, which costs several times as much. A frame has four bytes of length first.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import msgspec
import ray

from curio_ray.errors import ServerError
from curio_ray.serving.requests import GenerateRequest, GenerateResult

Answer = GenerateResult | str
"""A result, or the text of the error that this one request met."""

Answers = list[tuple[int, Answer]]
"""Answers by the number of their request."""

LENGTH_BYTES = 4
LONGEST_BYTES = 2**31
_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 15_000}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and the words that a connection must begin with."""

    host: str
    port: int
    password: str


class Asks(msgspec.Struct, array_like=True):
    """New requests by number, and the numbers of those that nobody waits for any more."""

    requests: list[tuple[int, GenerateRequest]]
    cancelled: list[int]


class Frames:
    """Cuts a stream of bytes into frames; `longest` bounds what a stranger may send."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The frames that are complete with this data; each is gone when the next is asked for.

        Raises:
            ServerError: a frame is longer than `longest`.
        """
        self._bytes += data
        while len(self._bytes) >= LENGTH_BYTES:
            length = int.from_bytes(self._bytes[:LENGTH_BYTES], "big")
            if length > self.longest:
                raise ServerError(f"a message of {length} bytes, where {self.longest} are allowed")
            end = LENGTH_BYTES + length
            if len(self._bytes) < end:
                return
            with memoryview(self._bytes) as whole, whole[LENGTH_BYTES:end] as frame:
                yield frame
            del self._bytes[:end]


def framed(message: bytes) -> bytes:
    """A message with its length before it."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def notice_silence(transport: asyncio.Transport) -> None:
    """Let the kernel break a connection whose other end is gone without a word."""
    end: socket.socket = transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


Generate = Callable[[GenerateRequest], Awaitable[GenerateResult]]


class RequestServer:
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

    def __init__(self, server: RequestServer, password: bytes) -> None:
        self.running: dict[int, asyncio.Future[GenerateResult]] = {}
        self._server = server
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
            if self in self._server.connections:
                self._take(self._asks.decode(each))
            elif hmac.compare_digest(each, self._password):
                self._frames.longest = LONGEST_BYTES
                self._server.connections.add(self)
            else:
                self.end()
                return

    def connection_lost(self, error: Exception | None) -> None:
        """Abort what the client asked for."""
        self._server.connections.discard(self)
        for answer in self.running.values():
            answer.cancel()

    def end(self) -> None:
        """Break the connection."""
        self._transport.abort()

    def _take(self, asks: Asks) -> None:
        for number, request in asks.requests:
            answer = asyncio.ensure_future(self._server.generate(request))
            self.running[number] = answer
            answer.add_done_callback(partial(self._finish, number))
        for number in asks.cancelled:
            if number in self.running:
                self.running[number].cancel()
        self._server.changed()

    def _finish(self, number: int, answer: asyncio.Future[GenerateResult]) -> None:
        del self.running[number]
        self._server.changed()
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
