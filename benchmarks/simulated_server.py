"""A model server whose engine answers after a fixed time, to load everything around engines."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Mapping

import ray

from curio_ray.config.servers import ServerConfig
from curio_ray.rollout.runner import Replicas
from curio_ray.serving.engine import EngineStatistics
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.serving.server import ModelServer

SAID = [40, 41, 10]


class SimulatedEngine:
    """Answers every request with the same few tokens after a fixed time."""

    def __init__(self, latency_s: float) -> None:
        self.statistics = EngineStatistics()
        self.vocabulary_size = 128
        self._latency_s = latency_s

    async def start(self) -> None:
        """Nothing to load."""

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Wait, then answer."""
        await asyncio.sleep(self._latency_s)
        if request.label_ids is not None:
            even = [-math.log(len(request.label_ids))] * len(request.label_ids)
            return GenerateResult([], [], [], label_log_probs=even)
        said = [*SAID, request.stop_token_ids[0]]
        return GenerateResult(said, [-1.0] * len(said), [0] * len(said))

    async def shutdown(self) -> None:
        """Nothing to stop."""


class SimulatedServer(ModelServer):
    """A model server with a simulated engine behind it."""

    def simulate(self, latency_s: float) -> int:
        """Take the place of a start; the process id."""
        self._started_engine = SimulatedEngine(latency_s)
        self._serving.set()
        return os.getpid()


def start_simulated_servers(configs: Mapping[str, ServerConfig], replicas: int) -> Replicas:
    """So many replicas of each server; they answer nothing before `set_latency`."""
    actor = ray.remote(SimulatedServer).options(num_cpus=0, max_concurrency=10_000)
    return {
        name: [actor.remote(name, config, replica=number) for number in range(replicas)]
        for name, config in configs.items()
    }


def set_latency(servers: Replicas, latency_s: float) -> list[int]:
    """Let all servers answer after this time; their process ids."""
    every = [replica for group in servers.values() for replica in group]
    return ray.get([replica.simulate.remote(latency_s) for replica in every])
