"""The client of one server: which replica answers a request, and until when to wait for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from ray.exceptions import RayError, RayTaskError

from curio_ray.actor_calls import is_loss
from curio_ray.errors import ContextError, DeadlineError, ReplicaLostError, ServerError
from curio_ray.serving.connection import (
    LONGEST_BYTES,
    Address,
    Answer,
    Answers,
    Asks,
    Frames,
    framed,
    notice_silence,
)
from curio_ray.serving.outage import OutageClock
from curio_ray.serving.requests import GenerateRequest, GenerateResult, too_long

logger = logging.getLogger(__name__)

BATCH_WINDOW_S = 0.001
UNSENDABLE = (TypeError, ValueError, OverflowError)


class ReplicaLink:
    """The conversation of one client with one replica.

    A replica that is lost fails what it was asked with `ReplicaLostError`; the link then waits for
    Ray to start it again elsewhere, and connects anew. What fails in another way fails for good.
    """

    def __init__(self, server: str, replica: int, actor: Any) -> None:
        self._label = f"server '{server}' (replica {replica})"
        self._actor = actor
        self._numbers = itertools.count()
        self._asks = Asks([], [])
        self._waiting: dict[int, asyncio.Future[GenerateResult]] = {}
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failure: ServerError | None = None
        self.returning: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """Whether the replica cannot be asked now and may come back."""
        return self.returning is not None

    def send(self, request: GenerateRequest) -> tuple[int, asyncio.Future[GenerateResult]]:
        """Queue a request for the next frame; returns its number and its future answer."""
        answer: asyncio.Future[GenerateResult] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        if self._failure is not None:
            answer.set_exception(self._failure)
            return number, answer
        self._waiting[number] = answer
        self._flush_soon()
        self._asks.requests.append((number, request))
        return number, answer

    def drop(self, number: int) -> None:
        """Stop waiting for a request, and abort it where it is unanswered."""
        if self._waiting.pop(number, None) is not None and self._failure is None:
            self._flush_soon()
            self._asks.cancelled.append(number)

    async def close(self) -> None:
        """End the connection; every request still waiting fails."""
        tasks = [task for task in (self._connecting, self.returning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail(ServerError(f"the client of {self._label} was closed"))
        self._disconnect()

    def _flush_soon(self) -> None:
        if self._asks.requests or self._asks.cancelled:
            return
        loop = asyncio.get_running_loop()
        if self._connection is not None:
            loop.call_later(BATCH_WINDOW_S, self._flush)
        elif self._connecting is None:
            self._connecting = loop.create_task(self._connect())

    def _flush(self) -> None:
        """Send the requests of a moment."""
        if self._connection is None:
            return
        asks, self._asks = self._asks, Asks([], [])
        asks.requests = [each for each in asks.requests if each[0] in self._waiting]
        if not asks.requests and not asks.cancelled:
            return
        try:
            self._connection.send(asks)
        except UNSENDABLE:
            self._connection.send(Asks([], asks.cancelled))
            for number, request in asks.requests:
                self._send_alone(self._connection, number, request)

    def _send_alone(self, connection: _Connection, number: int, request: GenerateRequest) -> None:
        """A frame for one request, which fails if it cannot be serialized."""
        try:
            connection.send(Asks([(number, request)], []))
        except UNSENDABLE as error:
            failure = ServerError(f"{self._label}: a request cannot be serialized ({error})")
            self._resolve(number, failure)

    async def _connect(self) -> None:
        """Connect, and send what has been asked for meanwhile."""
        try:
            address: Address = await self._actor.address.remote()
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(address.password, self._receive, self._lose),
                address.host,
                address.port,
            )
            # One that broke at once has been reported already.
            self._connection = None if connection.ended else connection
        except Exception as error:  # noqa: BLE001 (handed to whoever awaits an answer)
            if is_loss(error):
                self._lose(error)
            else:
                self._fail(self._explain(ServerError, error))
        finally:
            self._connecting = None
        self._flush()

    def _receive(self, answers: Answers) -> None:
        for number, answer in answers:
            self._resolve(number, ServerError(answer) if isinstance(answer, str) else answer)

    def _lose(self, error: Exception) -> None:
        """Fail what was asked, and begin to wait for the replica's return."""
        self._disconnect()
        self._fail_waiting(self._explain(ReplicaLostError, error))
        if self.lost or self._failure is not None:
            return
        logger.warning("%s was lost; its requests go to others", self._label)
        self.returning = asyncio.get_running_loop().create_task(self._return())

    async def _return(self) -> None:
        """Wait until the replica serves, in whichever process Ray has started it."""
        try:
            await self._actor.serving.options(max_task_retries=-1).remote()
        except Exception as error:  # noqa: BLE001 (handed to whoever asks)
            self._fail(self._explain(ServerError, error))
        finally:
            self.returning = None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._asks = Asks([], [])
        if connection is not None:
            connection.end()

    def _explain(self, kind: type[ServerError], error: Exception) -> ServerError:
        failure = kind(
            f"{self._label} {_what_happened(error)}; its log is in the run's Ray session folder"
        )
        failure.__cause__ = error
        return failure

    def _resolve(self, number: int, answer: GenerateResult | ServerError) -> None:
        future = self._waiting.pop(number, None)
        if future is None or future.done():
            return
        if isinstance(answer, ServerError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _fail(self, failure: ServerError) -> None:
        self._failure = self._failure or failure
        self._fail_waiting(failure)

    def _fail_waiting(self, failure: ServerError) -> None:
        for number in list(self._waiting):
            self._resolve(number, failure)


class _Connection(asyncio.Protocol):
    """The bytes between a link and its replica; says once when the other end is gone."""

    def __init__(
        self,
        password: str,
        receive: Callable[[Answers], None],
        lose: Callable[[Exception], None],
    ) -> None:
        self._password = password
        self._receive = receive
        self._lose = lose
        self.ended = False
        self._frames = Frames(LONGEST_BYTES)
        self._encoder = msgspec.msgpack.Encoder()
        self._answers = msgspec.msgpack.Decoder(list[tuple[int, Answer]])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the password."""
        self._transport = cast(asyncio.Transport, transport)
        notice_silence(self._transport)
        self._transport.write(framed(self._password.encode()))

    def data_received(self, data: bytes) -> None:
        """Hand on the answers that have arrived in full."""
        for each in self._frames.feed(data):
            self._receive(self._answers.decode(each))

    def connection_lost(self, error: Exception | None) -> None:
        """Report it, unless it was this end that wanted it."""
        if not self.ended:
            self.ended = True
            self._lose(error or ConnectionResetError("the connection was closed"))

    def send(self, asks: Asks) -> None:
        """Send requests and cancellations."""
        self._transport.write(framed(self._encoder.encode(asks)))

    def end(self) -> None:
        """Close the connection."""
        self.ended = True
        self._transport.close()


def _what_happened(error: Exception) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    gone = cause is error and isinstance(error, (RayError, OSError))
    what = "died or became unreachable" if gone else "failed"
    lines = str(cause).strip().splitlines()
    return f"{what} ({lines[0] if lines else type(cause).__name__})"


MOST_LOSSES = 3
"""A request over which so many replicas were lost may be what ends them."""


class ServerClient:
    """Sends requests to a server's replicas. All calls must come from one event loop.

    Requests with the same routing key go to the same replica, which holds the prefix that they
    share. What a lost replica did not answer goes to another one: a request holds all that its
    answer depends on. While no replica is there, requests wait for one to come back.

    What is longer than `max_model_len` tokens is not sent; None leaves it to the server to refuse.
    """

    def __init__(
        self,
        name: str,
        replicas: Sequence[Any],
        request_deadline_s: float,
        recovery_deadline_s: float,
        max_model_len: int | None = None,
    ) -> None:
        self.name = name
        self._max_model_len = max_model_len
        self._deadline_s = request_deadline_s
        self._recovery_deadline_s = recovery_deadline_s
        self._links = [ReplicaLink(name, number, actor) for number, actor in enumerate(replicas)]
        self._outages = OutageClock()

    @property
    def outage_s(self) -> float:
        """Seconds until now during which requests waited for a lost server."""
        return self._outages.seconds

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request.

        Raises:
            ContextError: the request does not fit into the model's context.
            ServerError: the server refused the request, or died for good, or three replicas were
                lost over this request.
            DeadlineError: no answer within `request_deadline_s`, or no replica was there for
                `recovery_deadline_s`.
        """
        if self._max_model_len is not None:
            problem = too_long(self.name, self._max_model_len, request)
            if problem is not None:
                raise ContextError(problem)
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
        self._outages.end()
        key, there = zlib.crc32(routing_key.encode()), self._there()
        link = self._links[key % len(self._links)]
        return there[key % len(there)] if link.lost else link

    def _there(self) -> list[ReplicaLink]:
        return [link for link in self._links if not link.lost]

    async def _wait_for_one(self) -> None:
        left = self._outages.begin() + self._recovery_deadline_s - time.monotonic()
        returns = [link.returning for link in self._links if link.returning is not None]
        await asyncio.wait(returns, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
        if not self._there():
            raise DeadlineError(
                f"server '{self.name}' lost all its replicas and none came back within "
                f"{self._recovery_deadline_s:g} s; raise cluster.recovery_deadline_s, or see what "
                "became of their nodes"
            )
