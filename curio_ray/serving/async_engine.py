"""vLLM's `AsyncLLM`, whose engine core is a process of its own: best on GPUs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from curio_ray.errors import ServerError
from curio_ray.heavy_imports import without_collections
from curio_ray.serving.engine import EngineStatistics
from curio_ray.serving.requests import (
    GenerateRequest,
    GenerateResult,
    result_of,
    sampling_parameters,
)
from curio_ray.weights.sync import Call, WeightReceiver

if TYPE_CHECKING:
    from vllm import AsyncLLMEngine, RequestOutput

logger = logging.getLogger(__name__)


class AsyncEngine:
    """Overlaps scheduling and answering, here, with the model's steps, there.

    When the engine's process dies this one ends as well: Ray starts the server again, and what it
    was asked goes to another replica.
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
        self._numbers = itertools.count()
        self._unfinished = 0
        self._busy_since = 0.0
        self._engine: AsyncLLMEngine | None = None
        self._shut_down = False

    async def start(self) -> None:
        """Import vLLM in a thread, then start the engine's process.

        AsyncLLM binds itself to the running event loop, so the start itself blocks it; nobody
        talks to a server that is not ready.
        """
        arguments = await asyncio.to_thread(_async_arguments, self._arguments)
        self._engine = _async_engine(arguments)
        self.vocabulary_size = self._engine.model_config.get_vocab_size()
        self._request_arguments = self._receiver.request_arguments()
        await self._engine.update_weight_version("0")

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Answer one request.

        Raises:
            ServerError: vLLM refused the request.
        """
        from vllm.exceptions import VLLMError

        self._begin()
        try:
            with self._ending_with_the_engine():
                output = await self._final_output(request)
        except (VLLMError, ValueError, TypeError, RuntimeError) as error:
            raise ServerError(f"server '{self._server}' failed a request: {error}") from error
        finally:
            self._end()
        result = result_of(request, output)
        self.statistics.count(request, result)
        return result

    async def init_weight_transfer(self, info: dict[str, Any]) -> None:
        """Tell the model's workers how weights will come."""
        await self._update(self._receiver.connect, info)

    async def start_weight_update(self) -> None:
        """Freeze requests, drop every cached key and value, make the model ready to receive."""
        with self._ending_with_the_engine():
            await self._llm.pause_generation(mode="keep", clear_cache=True)
        await self._update(self._receiver.start)

    async def update_weights(self, info: dict[str, Any]) -> None:
        """Receive one chunk of weights."""
        await self._update(self._receiver.update, info)

    async def finish_weight_update(self, version: int) -> None:
        """Complete the model, stamp the version and let requests go on."""
        await self._update(self._receiver.finish)
        with self._ending_with_the_engine():
            await self._llm.update_weight_version(str(version))
            await self._llm.resume_generation()
        self.statistics.weight_updates += 1

    async def shutdown(self) -> None:
        """End the engine's process."""
        self._shut_down = True
        if self._engine is not None:
            await asyncio.to_thread(self._engine.shutdown)

    @property
    def _llm(self) -> AsyncLLMEngine:
        if self._engine is None:
            raise ServerError(f"server '{self._server}' is not ready; await ready() first")
        return self._engine

    @contextlib.contextmanager
    def _ending_with_the_engine(self) -> Iterator[None]:
        from curio_ray.private_api.vllm_private import EngineDeadError

        try:
            yield
        except EngineDeadError:
            if self._shut_down:
                raise
            logger.exception("server '%s': its engine's process died", self._server)
            # Ray takes any other end for one that was meant, and starts nothing again.
            os._exit(1)

    async def _update(self, step: Callable[..., list[Call]], *arguments: Any) -> None:
        calls = await asyncio.to_thread(step, *arguments)
        with self._ending_with_the_engine():
            for method, of_method in calls:
                await getattr(self._llm, method)(*of_method)

    async def _final_output(self, request: GenerateRequest) -> RequestOutput:
        from vllm.inputs.engine import tokens_input

        final: RequestOutput | None = None
        # To its end, which is the final output: a generator that is left before aborts its request.
        async for output in self._llm.generate(
            tokens_input(request.prompt_ids),
            sampling_parameters(request),
            str(next(self._numbers)),
            **self._request_arguments,
        ):
            final = output
        if final is None or not final.finished:
            raise ServerError(f"server '{self._server}': vLLM ended a request without an answer")
        return final

    def _begin(self) -> None:
        if self._unfinished == 0:
            self._busy_since = time.perf_counter()
        self._unfinished += 1

    def _end(self) -> None:
        self._unfinished -= 1
        if self._unfinished == 0:
            self.statistics.busy_seconds += time.perf_counter() - self._busy_since


def _async_arguments(arguments: dict[str, Any]) -> Any:
    with without_collections():
        from vllm import AsyncEngineArgs, AsyncLLMEngine  # noqa: F401 (slow, off the event loop)

        import curio_ray.private_api.vllm_private  # noqa: F401

    return AsyncEngineArgs(**arguments)


def _async_engine(arguments: Any) -> AsyncLLMEngine:
    from vllm import AsyncLLMEngine

    return AsyncLLMEngine.from_engine_args(arguments)
