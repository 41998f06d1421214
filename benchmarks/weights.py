"""New weights from learner to serving: the project's way against one RPC for each parameter.

    python benchmarks/weights.py
    python benchmarks/weights.py --config configs/smollm2.yaml --model models/smollm2-135m

One learner rank and the policy's server, both real and otherwise idle. In the other way, between
the same start and finish, each tensor is one call of the learner, whose result is the argument of
one call of the server; the driver waits for a tensor to be loaded before it asks for the next.
The server must answer bit for bit the same after both. The share of an iteration comes from a
short run of `curio train`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ray
import torch
from ratios import Ratio, in_turn, report, summarise

from curio_ray.config import RunConfig, load_config
from curio_ray.learner import group
from curio_ray.learner.group import LearnerRank
from curio_ray.run_folder.existing_runs import METRICS_FILE
from curio_ray.run_folder.metrics import read_lines
from curio_ray.serving import launch
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.serving.server import ModelServer
from curio_ray.weights.arrays import WeightBucket
from curio_ray.weights.sync import make_weight_sync

CONFIGS = Path(__file__).parents[1] / "configs"
PHASES = ("collect", "score", "credit", "learn", "weights")
REQUESTS = 8


class OneByOneRank(LearnerRank):
    """A learner rank that also gives its tensors one at a time, and whose weights can be changed.

    The model must not be divided over ranks, and its server must have the learner's type.
    """

    def names(self) -> list[str]:
        """The policy's tensors."""
        weights = self._started_engine.policy_weights
        return [name for name, _ in weights.named_tensors(torch.float32)]

    def tensor(self, name: str) -> WeightBucket:
        """One of them."""
        parameter = self._started_engine.language_model.get_parameter(name)
        [bucket] = self._sender._writer.write([(name, parameter)])
        return bucket

    def change(self) -> None:
        """A new version of every weight."""
        for parameter in self._started_engine.language_model.parameters():
            parameter.data.mul_(1.001)


class OneByOneServer(ModelServer):
    """A model server that also loads one tensor of an update by a call."""

    async def load_one(self, tensor: WeightBucket) -> None:
        """Load a tensor."""
        await self.update_weights({"bucket": tensor})


class Pair:
    """A learner and the server that it feeds."""

    def __init__(self, config: RunConfig) -> None:
        self.name = config.roles.policy.server
        self.config = config.model_copy(update={"servers": {self.name: config.servers[self.name]}})
        group.LearnerRank = OneByOneRank  # type: ignore[misc]
        launch.ModelServer = OneByOneServer  # type: ignore[misc]
        self.learner = group.LearnerGroup(self.config)
        self.servers = launch.start_servers(self.config)
        self.learner.start()
        self.servers.wait_ready()
        self.learner.wait_ready()
        self.sync = make_weight_sync(self.config, self.learner)
        self.sync.connect(self.servers.named_replicas(self.name))
        [self.server] = self.servers.replicas(self.name)
        [self.rank] = self.learner.ranks
        self.names: list[str] = ray.get(self.rank.names.remote())
        self.version = 0
        self.phases: list[dict[str, float]] = []

    def change(self) -> None:
        """Give the learner a new version of its weights."""
        ray.get(self.rank.change.remote())
        self.version += 1

    def ours(self) -> float:
        """Seconds of an update as the trainer does it."""
        began = time.perf_counter()
        phases = self.sync.push(self.servers.named_replicas(self.name), self.version)
        seconds = time.perf_counter() - began
        self.phases.append(phases)
        return seconds

    def one_by_one(self) -> float:
        """Seconds of an update with a call of each side for each tensor."""
        began = time.perf_counter()
        ray.get(self.server.start_weight_update.remote())
        for name in self.names:
            ray.get(self.server.load_one.remote(self.rank.tensor.remote(name)))
        ray.get(self.server.finish_weight_update.remote(self.version))
        return time.perf_counter() - began

    def all_in_flight(self) -> float:
        """The same calls, but the driver waits only for the last of them."""
        began = time.perf_counter()
        ray.get(self.server.start_weight_update.remote())
        tensors = [self.rank.tensor.remote(name) for name in self.names]
        ray.get([self.server.load_one.remote(tensor) for tensor in tensors])
        ray.get(self.server.finish_weight_update.remote(self.version))
        return time.perf_counter() - began

    def answers(self) -> list[GenerateResult]:
        """What the server says to some requests."""
        requests = [
            GenerateRequest([5 + n, *range(5, 45)], max_tokens=8, temperature=0.0)
            for n in range(REQUESTS)
        ]

        async def ask() -> list[GenerateResult]:
            client = self.servers.client(self.name)
            try:
                return await asyncio.gather(*(client.generate(each, "") for each in requests))
            finally:
                await client.close()

        return asyncio.run(ask())

    def close(self) -> None:
        """End both."""
        self.learner.shutdown()
        self.servers.shutdown()


def check_equal(pair: Pair) -> None:
    """Raise where the ways of an update leave the server with different weights."""
    before = pair.answers()
    pair.change()
    results = []
    for way in (pair.one_by_one, pair.ours, pair.all_in_flight):
        way()
        results.append([(each.token_ids, each.log_probs) for each in pair.answers()])
    if not results[0] == results[1] == results[2]:
        raise RuntimeError("the server answers differently after the ways of an update")
    if results[0] == [(each.token_ids, each.log_probs) for each in before]:
        raise RuntimeError("the server answers as before the update")


def measure(pair: Pair, rounds: int, name: str) -> Ratio:
    """How many times as long one RPC per parameter takes."""
    check_equal(pair)
    pair.phases.clear()

    def ours() -> float:
        pair.change()
        return pair.ours()

    def one_by_one() -> float:
        pair.change()
        return pair.one_by_one()

    pairs = in_turn(ours, one_by_one, rounds)
    in_flight = [pair.all_in_flight() for _ in range(rounds)]
    print(f"{len(pair.names)} tensors, {rounds} rounds, medians in ms")
    print(f"  ours                        {_ms([a for a, _ in pairs])}")
    for phase in pair.phases[0]:
        print(f"    {phase:<26}{_ms([each[phase] for each in pair.phases])}")
    print(f"  one RPC per parameter       {_ms([b for _, b in pairs])}")
    print(f"  the same RPCs all in flight {_ms(in_flight)}")
    return summarise(name, [b / a for a, b in pairs], 10.0)


def share_of_iteration(iterations: int) -> Ratio:
    """Weights' share of the time of each iteration of a pocket run, but for the first."""
    with tempfile.TemporaryDirectory(prefix="curio-weights-") as folder:
        run = Path(folder) / "run"
        overrides = (f"training.iterations={iterations}", "evaluation.users=32", f"output={run}")
        command = [sys.executable, "-m", "curio_ray", "train", str(CONFIGS / "pocket.yaml")]
        for override in overrides:
            command += ["--set", override]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [each for each in read_lines(run / METRICS_FILE) if each["iteration"] > 1]
    shares = [
        line["time/weights"] / sum(line[f"time/{phase}"] for phase in PHASES) for line in lines
    ]
    print(f"pocket run, {len(shares)} iterations: {_ms([x['time/weights'] for x in lines])}")
    return summarise("weight_update_share_of_iteration", shares, 0.05, "lower")


def _ms(seconds: Sequence[float]) -> str:
    ordered = [1000 * each for each in seconds]
    return f"{statistics.median(ordered):8.1f} ({min(ordered):.1f} to {max(ordered):.1f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=CONFIGS / "pocket.yaml")
    parser.add_argument("--model", default=None, help="of the policy; by default the config's")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=9, help="of the run; 0 leaves it out")
    parser.add_argument("--output", type=Path, default=None)
    chosen = parser.parse_args()
    model = () if chosen.model is None else (f"servers.policy.model={chosen.model}",)
    title = "weight_update_to_rpc_per_parameter"
    if chosen.config.stem != "pocket":
        title += f"_{chosen.config.stem}"
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        running = Pair(load_config(chosen.config, model))
        ratios = [measure(running, chosen.rounds, title)]
        running.close()
    finally:
        ray.shutdown()
    if chosen.iterations:
        ratios.append(share_of_iteration(chosen.iterations))
    report(ratios, chosen.output)
