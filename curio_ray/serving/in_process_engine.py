"""vLLM's `LLMEngine` in the process of the server: best on CPU."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curio_ray.errors import ServerError
from curio_ray.heavy_imports import without_collections
from curio_ray.process_memory import FreeMemory
from curio_ray.serving.engine import EngineStatistics
from curio_ray.serving.requests import (
    GenerateRequest,
    GenerateResult,
    result_of,
    sampling_parameters,
)
from curio_ray.weights.sync import Call, WeightReceiver

if TYPE_CHECKING:
    from vllm import LLMEngine, RequestOutput

READINGS_WAIT_STEPS = 8
"""So many steps long label requests let continuations go first."""

Answer = tuple[asyncio.Future[GenerateResult], GenerateResult | ServerError]


@dataclass(slots=True)
class _Pending:
    request: GenerateRequest
    future: asyncio.Future[GenerateResult]

    @property
    def is_reading(self) -> bool:
        return self.request.label_ids is not None


class InProcessEngine:
    """Runs every engine step, and everything between steps, as tasks of one thread.

    A step submits the next one, so that requests and weight updates which arrived meanwhile take
    their turn between two steps. All answers of a step reach the event loop in one call.

    A dialogue cannot go on without its continuation, but can without the labels that are read of
    it: readings wait, a few steps at most, until no continuation is being sampled. The next
    server's engine gets its work sooner, and this one reads while that one samples.
    """

    def __init__(
        self, server: str, arguments: dict[str, Any], receiver: WeightReceiver | None = None
    ) -> None:
        self.statistics = EngineStatistics()
        self.vocabulary_size = 0
        self._server = server
        self._arguments = arguments
        self._receiver = receiver or WeightReceiver({})
        self._request_arguments: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"engine-{server}")
        self._numbers = itertools.count()
        self._unanswered: set[asyncio.Future[GenerateResult]] = set()
        self._arrived: list[_Pending] = []
        self._readings: list[_Pending] = []
        self._readings_waited = 0
        self._pending: dict[str, _Pending] = {}
        self._sampling = 0
        self._free_memory = FreeMemory()
        self._stepping = False
        self._paused = False
        self._failure: ServerError | None = None

    async def start(self) -> None:
        """Import vLLM and load the model, on the engine's thread."""
        self._loop = asyncio.get_running_loop()
        self._engine: LLMEngine = await self._between_steps(partial(_load, self._arguments))
        self.vocabulary_size = self._engine.model_config.get_vocab_size()
        self._request_arguments = self._receiver.request_arguments()
        await self._between_steps(partial(self._engine.set_weight_version, "0"))

    def generate(self, request: GenerateRequest) -> asyncio.Future[GenerateResult]:
        """Answer one request; requests of one moment enter the engine together."""
        future: asyncio.Future[GenerateResult] = self._loop.create_future()
        if self._failure is not None:
            future.set_exception(self._failure)
            return future
        self._unanswered.add(future)
        future.add_done_callback(self._unanswered.discard)
        if not self._arrived:
            self._loop.call_soon(self._admit_arrived)
        self._arrived.append(_Pending(request, future))
        return future

    async def init_weight_transfer(self, info: dict[str, Any]) -> None:
        """Tell the model's worker how weights will come."""
        await self._between_steps(partial(self._update, self._receiver.connect, info))

    async def start_weight_update(self) -> None:
        """Stop stepping and make the model ready to receive."""
        await self._between_steps(self._start_update)

    async def update_weights(self, info: dict[str, Any]) -> None:
        """Receive one chunk of weights."""
        await self._between_steps(partial(self._update, self._receiver.update, info))

    async def finish_weight_update(self, version: int) -> None:
        """Complete the model, drop every cached key and value, stamp the version, step again."""
        await self._between_steps(partial(self._finish_update, version))
        self.statistics.weight_updates += 1

    async def shutdown(self) -> None:
        """Stop between two steps; unfinished requests fail."""
        await self._between_steps(self._pause)
        self._fail(ServerError(f"server '{self._server}' was shut down"))
        if hasattr(self, "_engine"):
            await self._between_steps(self._engine.engine_core.shutdown)
        self._thread.shutdown(wait=False)

    # On the event loop.

    async def _between_steps(self, task: Any) -> Any:
        return await self._loop.run_in_executor(self._thread, task)

    def _admit_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        self._watch(self._thread.submit(self._admit, arrived))

    def _deliver(self, answers: list[Answer]) -> None:
        for future, answer in answers:
            if future.done():
                continue
            if isinstance(answer, ServerError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _fail(self, failure: ServerError) -> None:
        self._failure = self._failure or failure
        self._deliver([(future, self._failure) for future in self._unanswered])

    # On the engine's thread.

    def _watch(self, task: Future[None]) -> None:
        task.add_done_callback(self._report_failure)

    def _report_failure(self, task: Future[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failure = ServerError(f"server '{self._server}': the engine failed: {error!r}")
            failure.__cause__ = error
            self._loop.call_soon_threadsafe(self._fail, failure)

    def _admit(self, arrived: list[_Pending]) -> None:
        if self._failure is not None:
            answers: list[Answer] = [(pending.future, self._failure) for pending in arrived]
            self._loop.call_soon_threadsafe(self._deliver, answers)
            return
        self._readings += [each for each in arrived if each.is_reading]
        self._enter([each for each in arrived if not each.is_reading])
        self._keep_stepping()

    def _enter(self, requests: list[_Pending]) -> None:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input

        refused: list[Answer] = []
        for pending in requests:
            if pending.future.done():
                continue
            key = str(next(self._numbers))
            try:
                self._engine.add_request(
                    key,
                    tokens_input(pending.request.prompt_ids),
                    sampling_parameters(pending.request),
                    **self._request_arguments,
                )
            except (VLLMClientError, ValueError, TypeError) as error:
                message = f"server '{self._server}' refused a request: {error}"
                refused.append((pending.future, ServerError(message)))
            else:
                self._pending[key] = pending
                self._sampling += not pending.is_reading
        if refused:
            self._loop.call_soon_threadsafe(self._deliver, refused)

    def _enter_readings(self) -> None:
        if self._sampling and self._readings_waited < READINGS_WAIT_STEPS:
            self._readings_waited += bool(self._readings)
            return
        readings, self._readings, self._readings_waited = self._readings, [], 0
        self._enter(readings)

    def _keep_stepping(self) -> None:
        if not self._stepping and not self._paused and self._has_work():
            self._stepping = True
            self._watch(self._thread.submit(self._step))

    def _has_work(self) -> bool:
        return bool(self._readings) or self._engine.has_unfinished_requests()

    def _step(self) -> None:
        self._stepping = False
        if self._paused:
            return
        self._abort_cancelled()
        self._enter_readings()
        started = time.perf_counter()
        outputs = self._engine.step()
        self.statistics.busy_seconds += time.perf_counter() - started
        answers: list[Answer] = []
        for output in outputs:
            pending = self._leave(output.request_id)
            if pending is not None:
                answers.append((pending.future, self._answer(pending.request, output)))
        if answers:
            self._loop.call_soon_threadsafe(self._deliver, answers)
        if not self._has_work():
            self._free_memory.trim_if_due()
        self._keep_stepping()

    def _answer(
        self, request: GenerateRequest, output: RequestOutput
    ) -> GenerateResult | ServerError:
        try:
            result = result_of(request, output)
        except ServerError as error:
            return error
        self.statistics.count(request, result)
        return result

    def _leave(self, key: str) -> _Pending | None:
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._sampling -= not pending.is_reading
        return pending

    def _abort_cancelled(self) -> None:
        cancelled = [key for key, pending in self._pending.items() if pending.future.cancelled()]
        if cancelled:
            self._engine.abort_request(cancelled)
            for key in cancelled:
                self._leave(key)

    def _update(self, step: Callable[..., list[Call]], *arguments: Any) -> None:
        """A step of a weight update; one that fails leaves a model nobody may sample from."""
        try:
            for method, of_method in step(*arguments):
                getattr(self._engine, method)(*of_method)
        except Exception as error:
            failure = ServerError(
                f"server '{self._server}': a weight update failed, its weights cannot be used: "
                f"{error}"
            )
            self._loop.call_soon_threadsafe(self._fail, failure)
            raise failure from error

    def _start_update(self) -> None:
        self._pause()
        self._update(self._receiver.start)

    def _pause(self) -> None:
        self._paused = True

    def _finish_update(self, version: int) -> None:
        self._update(self._receiver.finish)
        # Without preempting them, running requests hold cache blocks and the reset does nothing.
        if not self._engine.reset_prefix_cache(reset_running_requests=True):
            raise ServerError(f"server '{self._server}': the prefix cache could not be reset")
        self._engine.set_weight_version(str(version))
        self._paused = False
        self._keep_stepping()


def _load(arguments: dict[str, Any]) -> LLMEngine:
    with without_collections():
        from vllm import EngineArgs, LLMEngine

    return LLMEngine.from_engine_args(EngineArgs(**arguments))
