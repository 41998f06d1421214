"""Dialogue runners from 1 to many, against simulated servers of fixed latency.

    python benchmarks/runners.py --runners 1,4,16 --dialogues-in-flight 256

The runners, their RPCs and the driver are the project's; only the engines behind the servers are
simulated: each answers after a fixed time. A runner takes about 0.4 GiB of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ratios import report, summarise

from curio_ray.algorithm import CurioConfig
from curio_ray.config import RunConfig, load_config
from curio_ray.models.engine import EngineStatistics
from curio_ray.models.requests import GenerateRequest, GenerateResult
from curio_ray.models.server import ModelServer
from curio_ray.placement.reservation import reserve
from curio_ray.placement.runners import PlacedRunners
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.runner_pool import RunnerPool
from curio_ray.tasks.registry import make_task

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
SAID = [40, 41, 10]
SERVERS = 4


class SimulatedEngine:
    """Answers every request with the same few tokens after a fixed time."""

    def __init__(self, latency_s: float) -> None:
        self.statistics = EngineStatistics()
        self.vocabulary_size = 128
        self._latency_s = latency_s

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

    def simulate(self, latency_s: float) -> None:
        """Take the place of a start."""
        self._started_engine = SimulatedEngine(latency_s)
        self._serving.set()


@dataclass(frozen=True, slots=True)
class Measured:
    """Dialogues per second, and the processor seconds of the driver per second."""

    dialogues_per_s: float
    driver_share: float
    dialogues: int


def hold(config: RunConfig, servers: dict, in_flight: int, latency_s: float) -> Measured:
    """Let the config's number of runners each hold so many dialogues at once, twice."""
    reservation = reserve(config)
    group = PlacedRunners(CurioConfig.from_run_config(config), reservation, tempfile.mkdtemp())
    pool = RunnerPool(group, servers, 600, lambda: None)
    task = make_task(config.task, config.seed)
    users = task.users("train")
    options = RolloutOptions(1.0, False, 1, in_flight, 3600)
    runners = config.rollout.runners

    def assignments(count: int, start: int) -> list[Assignment]:
        return [Assignment(f"made-{start + n:08d}", users[n % len(users)], n) for n in range(count)]

    pool.collect(assignments(runners, 0), options)
    count = runners * in_flight
    process, started = psutil.Process(), time.perf_counter()
    before = process.cpu_times()
    held = pool.collect(assignments(count, count), options)
    after, wall = process.cpu_times(), time.perf_counter() - started
    group._worker_manager.clear()
    reservation.release()
    driver = (after.user + after.system - before.user - before.system) / wall
    return Measured(len(held.dialogues) / wall, driver, len(held.dialogues))


def main(options: argparse.Namespace) -> None:
    """Measure each number of runners and print the ratios to linear growth."""
    counts = [int(each) for each in options.runners.split(",")]
    ray.init(num_cpus=256, include_dashboard=False, log_to_driver=False)
    try:
        base = load_config(POCKET)
        servers = {
            name: [
                ray.remote(SimulatedServer).options(num_cpus=0, max_concurrency=10_000).remote(
                    name, server, replica=replica
                )
                for replica in range(SERVERS)
            ]
            for name, server in base.servers.items()
        }  # fmt: skip
        every = [replica for replicas in servers.values() for replica in replicas]
        ray.get([each.simulate.remote(options.latency) for each in every])
        per_runner, shares = [], []
        for count in counts:
            config = load_config(POCKET, (f"rollout.runners={count}", "cluster.address=auto"))
            in_flight = options.dialogues_in_flight
            measured = hold(config, servers, in_flight, options.latency)
            per_runner.append(measured.dialogues_per_s / count)
            shares.append(measured.driver_share)
            print(
                f"{count} runners, {count * in_flight} dialogues in flight: "
                f"{measured.dialogues_per_s:.1f} dialogues/s, driver {measured.driver_share:.1%}"
            )
    finally:
        ray.shutdown()
    name = f"runners_{counts[0]}_to_{counts[-1]}"
    report(
        [
            summarise(f"{name}_to_linear", [per_runner[-1] / per_runner[0]], 0.9),
            summarise(f"{name}_driver_share", [shares[-1]], 0.05, "lower"),
        ],
        options.output,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runners", default="1,4,16")
    parser.add_argument("--dialogues-in-flight", type=int, default=256, help="of each runner")
    parser.add_argument("--latency", type=float, default=8.0, help="seconds of every request")
    parser.add_argument("--output", type=Path, default=None)
    main(parser.parse_args(sys.argv[1:]))
