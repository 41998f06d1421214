"""The model server: one engine behind a Ray actor, shared by many clients."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import ray

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import NotServingError, ServerError
from curio_ray.heavy_imports import NEEDS_GPUS, vllm_needs_gpus
from curio_ray.serving.connection import Address, RequestServer
from curio_ray.serving.engine import PhaseLaps, SamplingEngine, TrainableEngine, UpdateSeconds
from curio_ray.serving.engine_arguments import engine_arguments, set_process_environment
from curio_ray.serving.requests import GenerateRequest, GenerateResult, refusal
from curio_ray.tracking.prometheus import Exporter
from curio_ray.weights.sync import WeightReceiver

if TYPE_CHECKING:
    from curio_ray.weights.arrays import WeightBucket


class ModelServer:
    """Answers generation requests and takes new weights; used as an asynchronous Ray actor.

    Clients connect to its `address` and send their requests there. Where Ray starts a lost replica
    anew, `ready` loads its model again. One whose weights change then serves only after its next
    weight update, the others at once.
    """

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        receiver: WeightReceiver | None = None,
        seed: int = 0,
        replica: int = 0,
        run: str = "",
    ) -> None:
        set_process_environment(config, receiver)
        self.name = name
        self.config = config
        self.replica = replica
        self._receiver = receiver
        self._seed = seed
        self._started_engine: SamplingEngine | None = None
        self._starting: asyncio.Task[None] | None = None
        self._was_lost = ray.get_runtime_context().was_current_actor_reconstructed
        self._serving = asyncio.Event()
        self._created = time.perf_counter()
        self._start_seconds = 0.0
        self._version = 0
        self._exporter = Exporter(run, "server", server=name, replica=str(replica))
        self._requests = RequestServer(
            self._generate, partial(self._exporter.set, "curio_server_requests")
        )

    async def ready(self) -> dict[str, Any]:
        """Wait until the engine has started; the first call starts it.

        Raises:
            ServerError: the engine could not be started.
        """
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await self._starting
        return {
            "server": self.name,
            "replica": self.replica,
            "model": self.config.model,
            "engine": self.config.engine,
            "pid": os.getpid(),
            "start_seconds": self._start_seconds,
        }

    async def _start(self) -> None:
        if self.config.gpus == 0 and vllm_needs_gpus():
            raise ServerError(f"servers.{self.name}.gpus: 0 {NEEDS_GPUS}")
        try:
            arguments = engine_arguments(self.config, self._receiver, self._seed)
            engine = _make_engine(self.name, self.config, arguments, self._receiver)
            async with AsyncExitStack() as on_failure:
                on_failure.push_async_callback(engine.shutdown)
                await engine.start()
                on_failure.pop_all()
        except Exception as error:
            raise ServerError(
                f"server '{self.name}' could not load servers.{self.name}.model = "
                f"{self.config.model}: {error}"
            ) from error
        self._started_engine = engine
        if not self._was_lost or self._receiver is None:
            self._serving.set()
        self._start_seconds = time.perf_counter() - self._created

    async def ready_again(self) -> dict[str, Any]:
        """`ready` for a replica that its driver took for lost, whether its process ended or not.

        Where weights change it may have missed some: it does not serve before their next update.
        """
        self._was_lost = True
        if self._receiver is not None:
            self._serving.clear()
            self._requests.disconnect()
        return await self.ready()

    async def serving(self) -> None:
        """Wait until requests are answered, from the right weights.

        Raises:
            ServerError: the engine could not be started.
        """
        await self.ready()
        await self._serving.wait()

    async def until_lost(self) -> None:
        """Never returns: the call fails when this process is gone.

        Raises:
            NotServingError: it is gone already, and this one has not taken its place yet.
        """
        self._refuse_while_behind()
        await asyncio.Event().wait()

    async def address(self) -> Address:
        """Where clients send their requests.

        Raises:
            ServerError: the engine has not started.
            NotServingError: it was lost and does not serve yet.
        """
        self._refuse_while_behind()
        assert self._engine is not None
        return await self._requests.address()

    async def init_weight_transfer(self, info: dict[str, Any]) -> None:
        """Connect to the sender of weights."""
        await self._trainable_engine.init_weight_transfer(info)

    async def start_weight_update(self) -> None:
        """Pause generation and make the model ready to receive."""
        await self._trainable_engine.start_weight_update()

    async def update_weights(self, info: dict[str, Any]) -> None:
        """Receive one chunk of weights."""
        await self._trainable_engine.update_weights(info)

    async def finish_weight_update(self, version: int) -> None:
        """Complete the model, reset the prefix cache, stamp the version and go on."""
        await self._trainable_engine.finish_weight_update(version)
        self._has_version(version)

    async def load_weights(self, version: int, *buckets: WeightBucket) -> UpdateSeconds:
        """A whole update in one call, from buckets that lie in the object store.

        Returns:
            Seconds of `start`, `update` and `finish`.
        """
        laps = PhaseLaps()
        await self.start_weight_update()
        laps.end("start")
        for bucket in buckets:
            await self.update_weights({"bucket": bucket})
        laps.end("update")
        await self.finish_weight_update(version)
        laps.end("finish")
        return laps.seconds

    async def stats(self) -> dict[str, Any]:
        """Totals since the start, the requests now running and the version of the weights."""
        totals = asdict(self._engine.statistics)
        return {
            "server": self.name,
            "replica": self.replica,
            "weight_version": self._version,
            "unfinished_requests": self._requests.unanswered,
            **totals,
        }

    async def shutdown(self) -> None:
        """Stop the engine and release what it holds."""
        if self._started_engine is not None:
            await self._started_engine.shutdown()

    @property
    def _engine(self) -> SamplingEngine:
        if self._started_engine is None:
            kind = NotServingError if self._was_lost else ServerError
            raise kind(f"server '{self.name}' has not started; await ready() first")
        return self._started_engine

    @property
    def _trainable_engine(self) -> TrainableEngine:
        engine = self._engine
        if not isinstance(engine, TrainableEngine):
            raise ServerError(f"server '{self.name}' has an engine that takes no weights")
        return engine

    def _refuse_while_behind(self) -> None:
        if self._was_lost and not self._serving.is_set():
            raise NotServingError(f"server '{self.name}' was lost and does not serve again yet")

    def _has_version(self, version: int) -> None:
        self._version = version
        self._serving.set()

    def _generate(self, request: GenerateRequest) -> Awaitable[GenerateResult]:
        refused = refusal(self.name, self.config, self._engine.vocabulary_size, request)
        if refused is None:
            return self._engine.generate(request)
        answer: asyncio.Future[GenerateResult] = asyncio.get_running_loop().create_future()
        answer.set_exception(ServerError(refused))
        return answer


def _make_engine(
    name: str, config: ServerConfig, arguments: dict[str, Any], receiver: WeightReceiver | None
) -> TrainableEngine:
    if config.engine == "async":
        from curio_ray.serving.async_engine import AsyncEngine

        return AsyncEngine(name, arguments, receiver)
    from curio_ray.serving.in_process_engine import InProcessEngine

    return InProcessEngine(name, arguments, receiver)
