"""What clients and servers send each other over TCP: frames of msgpack, four bytes of length first.

Only token requests and their answers travel so; everything else of a server is a call of its Ray
actor, which costs several times as much.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from curio_ray.errors import ServerError
from curio_ray.models.requests import GenerateRequest, GenerateResult

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
