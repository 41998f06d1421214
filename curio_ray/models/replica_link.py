"""One replica as its client sees it: requests of a moment in one call, answers, its loss."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from ray.exceptions import RayError, RayTaskError

from curio_ray.errors import NotServingError, ReplicaLostError, ServerError
from curio_ray.models.outbox import Answer
from curio_ray.models.requests import GenerateRequest, GenerateResult

logger = logging.getLogger(__name__)

BATCH_WINDOW_S = 0.002


class ReplicaLink:
    """The conversation of one client with one replica.

    A replica that is lost fails what it was asked with `ReplicaLostError`; the link then waits for
    Ray to start it again elsewhere. What fails in another way fails for good.
    """

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
        self.returning: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """Whether the replica cannot be asked now and may come back."""
        return self.returning is not None

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
        tasks = [*self._submitting]
        tasks += [task for task in (self._polling, self.returning) if task is not None]
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
        if not batch or self._failure is not None or self.lost:
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
            if is_loss(error):
                self._lose(error)
            else:
                self._fail(self._explain(ServerError, error))

    def _lose(self, error: Exception) -> None:
        """Fail what was asked, and begin to wait for the replica's return."""
        self._fail_waiting(self._explain(ReplicaLostError, error))
        if self.lost:
            return
        logger.warning("%s was lost; its requests go to others", self._label)
        if self._polling is not None and self._polling is not asyncio.current_task():
            self._polling.cancel()
        self._polling, self._unsent = None, []
        # A process that was only out of reach would still have answers for the old name.
        self._client_id = uuid.uuid4().hex
        self.returning = asyncio.create_task(self._return())

    async def _return(self) -> None:
        """Wait until the replica serves, in whichever process Ray has started it."""
        try:
            await self._actor.serving.options(max_task_retries=-1).remote()
        except Exception as error:  # noqa: BLE001 (handed to whoever asks)
            self._fail(self._explain(ServerError, error))
        finally:
            self.returning = None

    def _explain(self, kind: type[ServerError], error: Exception) -> ServerError:
        failure = kind(
            f"{self._label} {_what_happened(error)}; its log is in the run's Ray session folder"
        )
        failure.__cause__ = error
        return failure

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
        self._fail_waiting(failure)

    def _fail_waiting(self, failure: ServerError) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(failure)


def is_loss(error: Exception) -> bool:
    """Whether a call failed since its replica's process is gone, or has not taken up service."""
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, NotServingError)
    return isinstance(error, RayError)


def _what_happened(error: Exception) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    gone = cause is error and isinstance(error, RayError)
    what = "died or became unreachable" if gone else "failed"
    lines = str(cause).strip().splitlines()
    return f"{what} ({lines[0] if lines else type(cause).__name__})"
