"""The client of one server: batches requests of a moment, holds deadlines, notices death."""

from __future__ import annotations

import asyncio
import itertools
import uuid
import zlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ray.exceptions import RayError, RayTaskError

from curio_ray.errors import DeadlineError, ServerError
from curio_ray.models.outbox import Answer
from curio_ray.models.requests import GenerateRequest, GenerateResult

BATCH_WINDOW_S = 0.002


class ServerClient:
    """Sends requests to a server's replicas. All calls must come from one event loop.

    Requests with the same routing key go to the same replica, which holds the prefix that they
    share.
    """

    def __init__(self, name: str, replicas: Sequence[Any], request_deadline_s: float) -> None:
        self.name = name
        self._deadline_s = request_deadline_s
        self._links = [_ReplicaLink(name, number, actor) for number, actor in enumerate(replicas)]

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request.

        Raises:
            ServerError: the server refused the request, or died.
            DeadlineError: no answer within `request_deadline_s`.
        """
        link = self._links[zlib.crc32(routing_key.encode()) % len(self._links)]
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

    async def close(self) -> None:
        """End the polls and abort what is still running."""
        await asyncio.gather(*(link.close() for link in self._links))


class _ReplicaLink:
    """The conversation of one client with one replica."""

    def __init__(self, server: str, replica: int, actor: Any) -> None:
        self._label = f"server '{server}' (replica {replica})"
        self._actor = actor
        self._client_id = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._unsent: list[tuple[int, GenerateRequest]] = []
        self._waiting: dict[int, asyncio.Future[GenerateResult]] = {}
        self._polling: asyncio.Task[None] | None = None
        self._submitting: set[asyncio.Task[None]] = set()
        self._failure: ServerError | None = None

    def send(self, request: GenerateRequest) -> tuple[int, asyncio.Future[GenerateResult]]:
        """Queue a request for the next batch; returns its number and its future answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[GenerateResult] = loop.create_future()
        number = next(self._numbers)
        if self._failure is not None:
            answer.set_exception(self._failure)
            return number, answer
        self._waiting[number] = answer
        if not self._unsent:
            task = loop.create_task(self._fail_with(self._submit))
            self._submitting.add(task)
            task.add_done_callback(self._submitting.discard)
        self._unsent.append((number, request))
        return number, answer

    def drop(self, number: int) -> None:
        """Stop waiting for a request, and abort it where it is unanswered."""
        if self._waiting.pop(number, None) is not None and self._failure is None:
            self._actor.cancel.remote(self._client_id, [number])

    async def close(self) -> None:
        """End the poll; every request still waiting fails."""
        tasks = [*self._submitting, *([] if self._polling is None else [self._polling])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure is None:
            self._actor.forget.remote(self._client_id)
            self._fail(ServerError(f"the client of {self._label} was closed"))

    async def _submit(self) -> None:
        """Send the requests of a moment."""
        await asyncio.sleep(BATCH_WINDOW_S)
        batch, self._unsent = self._unsent, []
        batch = [(number, request) for number, request in batch if number in self._waiting]
        if not batch or self._failure is not None:
            return
        submitted = self._actor.submit.remote(self._client_id, batch)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._fail_with(self._poll))
        await submitted

    async def _poll(self) -> None:
        """Collect answers while any is awaited."""
        while self._waiting:
            for number, answer in await self._actor.collect.remote(self._client_id):
                self._resolve(number, answer)

    async def _fail_with(self, conversation: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Whatever ends the conversation with the replica fails every request, with the reason."""
        try:
            await conversation()
        except Exception as error:  # noqa: BLE001 (handed to whoever awaits an answer)
            failure = ServerError(
                f"{self._label} {_what_happened(error)}; its log is in the run's Ray session folder"
            )
            failure.__cause__ = error
            self._fail(failure)

    def _resolve(self, number: int, answer: Answer) -> None:
        future = self._waiting.pop(number, None)
        if future is None or future.done():
            return
        if isinstance(answer, GenerateResult):
            future.set_result(answer)
        else:
            future.set_exception(ServerError(answer))

    def _fail(self, failure: ServerError) -> None:
        self._failure = self._failure or failure
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(failure)


def _what_happened(error: Exception) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    gone = cause is error and isinstance(error, RayError)
    what = "died or became unreachable" if gone else "failed"
    lines = str(cause).strip().splitlines()
    return f"{what} ({lines[0] if lines else type(cause).__name__})"
