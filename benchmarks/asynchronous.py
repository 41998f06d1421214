"""Iterations with dialogues held while the learner works, against both in turn.

    python benchmarks/asynchronous.py

The pocket run at `training.max_staleness` 1 and 0, twice: with its own engines, which share the two
cores with the learner, and with engines that answer after a fixed time and need no core here, as
those on other machines or on GPUs of their own. Everything else is real: runners, learner, credit,
weight transfer up to the servers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import ray
from ratios import Ratio, in_turn, report, summarise
from simulated_server import SimulatedEngine

from curio_ray.config import load_config
from curio_ray.serving import launch
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.serving.server import ModelServer
from curio_ray.training.algorithm import Curio, CurioConfig

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
LATENCY_S = 0.1


class ElsewhereEngine(SimulatedEngine):
    """Answers after a fixed time from weights whose version alone it keeps."""

    def __init__(self) -> None:
        super().__init__(LATENCY_S)
        self._version = 0

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """Wait, then answer."""
        answer = await super().generate(request)
        versions = [self._version] * len(answer.token_ids)
        return GenerateResult(answer.token_ids, answer.log_probs, versions, answer.label_log_probs)

    async def init_weight_transfer(self, info: dict[str, Any]) -> None:
        """Nothing to connect."""

    async def start_weight_update(self) -> None:
        """Nothing to prepare."""

    async def update_weights(self, info: dict[str, Any]) -> None:
        """Nothing to load."""

    async def finish_weight_update(self, version: int) -> None:
        """Answer from that version."""
        self._version = version


class ElsewhereServer(ModelServer):
    """A model server whose engine is elsewhere."""

    async def _start(self) -> None:
        self._started_engine = ElsewhereEngine()
        self._serving.set()


def build(max_staleness: int) -> Curio:
    """The pocket run, its first iterations behind it."""
    changes = (
        f"training.max_staleness={max_staleness}",
        "training.iterations=1000000",
        "cluster.address=auto",
        f"output=runs/benchmark-staleness-{max_staleness}",
    )
    algorithm = CurioConfig.from_run_config(load_config(POCKET, changes)).build_algo()
    iterate(algorithm, 2)
    return algorithm


def iterate(algorithm: Curio, iterations: int) -> float:
    """Seconds of an iteration, in the mean; what is collected ahead is waited for as well."""
    began = time.perf_counter()
    for _ in range(iterations):
        algorithm.train()
    algorithm.trainer.settle()
    return (time.perf_counter() - began) / iterations


def phases(algorithm: Curio) -> str:
    """The seconds of the last iteration by phase."""
    assert algorithm.last_iteration is not None
    metrics = algorithm.last_iteration.metrics
    parts = {name: metrics[f"time/{name}"] for name in ("collect", "score", "learn", "weights")}
    parts["collection in the background"] = metrics["collection_seconds"]
    told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    return f"{told}; mean staleness {metrics['staleness']:.2f}"


def measure(name: str, options: argparse.Namespace) -> Ratio:
    """Synchronous over asynchronous seconds of an iteration, both alive in one Ray."""
    ray.init(num_cpus=16, include_dashboard=False, log_to_driver=False)
    try:
        asynchronous, synchronous = build(1), build(0)
        pairs = in_turn(
            lambda: iterate(asynchronous, options.iterations),
            lambda: iterate(synchronous, options.iterations),
            options.rounds,
        )
        for kind, algorithm, seconds in (
            ("asynchronous", asynchronous, [one for one, _ in pairs]),
            ("synchronous", synchronous, [other for _, other in pairs]),
        ):
            median = statistics.median(seconds)
            print(f"{name}, {kind}: {median:.2f} s an iteration ({phases(algorithm)})")
            algorithm.stop()
    finally:
        ray.shutdown()
    return summarise(name, [other / one for one, other in pairs], 1.3)


def main(options: argparse.Namespace) -> None:
    """Both worlds."""
    ratios = [measure("asynchronous_to_synchronous_on_two_cores", options)]
    launch.ModelServer = ElsewhereServer  # type: ignore[misc]
    ratios.append(measure("asynchronous_to_synchronous_engines_elsewhere", options))
    report(ratios, options.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=6, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None)
    main(parser.parse_args())
