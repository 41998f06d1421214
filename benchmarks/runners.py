"""Dialogue runners from 1 to many, against simulated servers of fixed latency.

    python benchmarks/runners.py --runners 1,4,16,64 --dialogues-in-flight 64

The runners, their RPCs and the driver are the project's; only the engines behind the servers are
simulated: each answers after a fixed time. What one runner does, many do as fast each, as long as
the machine's cores have time for all of them. So the latency is chosen such that the simulated
servers are the limit and not the cores: all dialogues that are in flight together need

    dialogues in flight x processor seconds per dialogue / cores

seconds of every core, which must be well below the duration of one dialogue, about 11 latencies.
Both are printed, and so is the share of time that the cores were in use. With 4,096 dialogues in
flight and 20 ms each, two cores need 41 s: hence 10 s of latency, and 25 minutes in all.

All runners are started, and have held a dialogue each, before anything is measured. A runner takes
about 0.1 GiB of memory; all numbers of runners exist side by side.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ratios import report, summarise
from rich.console import Console
from rich.table import Table
from simulated_server import set_latency, start_simulated_servers

from curio_ray.config import RunConfig, load_config
from curio_ray.placement.reservation import reserve
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.runner import Replicas
from curio_ray.rollout.runner_pool import RunnerPool, make_runner_group
from curio_ray.tasks.registry import make_task
from curio_ray.training.algorithm import CurioConfig

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
REPLICAS = 4


@dataclass(frozen=True, slots=True)
class Round:
    """One number of runners, each with its dialogues in flight, once. Times are in seconds."""

    wall: float
    dialogues: int
    driver: float
    runners: float
    servers: float
    cores: float

    @property
    def per_second(self) -> float:
        """Dialogues per second."""
        return self.dialogues / self.wall


class Runners:
    """A number of runners that are ready to hold dialogues."""

    def __init__(self, config: RunConfig, servers: Replicas, server_pids: Sequence[int]) -> None:
        began = time.perf_counter()
        self.count = config.rollout.runners
        self._reservation = reserve(config)
        shell = CurioConfig.from_run_config(config)
        self._group = make_runner_group(shell, shell.run, self._reservation, tempfile.mkdtemp())
        self._pool = RunnerPool(self._group, servers, 600)
        self._users = make_task(config.task, config.seed).users("train")
        self._server_pids = server_pids
        self._pids: list[int] = self._group.foreach_env_runner(lambda _: os.getpid())
        self._made = 0
        self.start_s = time.perf_counter() - began

    def hold(self, in_flight: int) -> Round:
        """Let each runner hold so many dialogues, all at once."""
        options = RolloutOptions(1.0, False, 1, in_flight, 3600)
        assignments = self._assignments(self.count * in_flight)
        driver, runners = _processor_seconds([os.getpid()]), _processor_seconds(self._pids)
        servers, cores = _processor_seconds(self._server_pids), _busy_seconds()
        began = time.perf_counter()
        held = self._pool.collect(assignments, options)
        wall = time.perf_counter() - began
        assert len(held.dialogues) == len(assignments)
        return Round(
            wall,
            len(assignments),
            _processor_seconds([os.getpid()]) - driver,
            _processor_seconds(self._pids) - runners,
            _processor_seconds(self._server_pids) - servers,
            (_busy_seconds() - cores) / psutil.cpu_count(),
        )

    def private_mib(self) -> float:
        """Memory that a runner has for itself alone, the median, in MiB."""
        infos = (psutil.Process(pid).memory_full_info() for pid in self._pids)
        return statistics.median(info.uss for info in infos) / 2**20

    def _assignments(self, count: int) -> list[Assignment]:
        numbers = range(self._made, self._made + count)
        self._made += count
        users = self._users
        return [Assignment(f"made-{n:08d}", users[n % len(users)], n) for n in numbers]


def _processor_seconds(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def measure(options: argparse.Namespace) -> dict[int, list[Round]]:
    """All numbers of runners in turn, in every round; the first group is the smallest."""
    base = load_config(POCKET)
    servers = start_simulated_servers(base.servers, REPLICAS)
    server_pids = set_latency(servers, 0.0)
    groups = []
    for count in sorted(int(each) for each in options.runners.split(",")):
        config = load_config(POCKET, (f"rollout.runners={count}", "cluster.address=auto"))
        group = Runners(config, servers, server_pids)
        group.hold(1)
        groups.append(group)
        print(f"{count} runners started in {group.start_s:.1f} s", flush=True)
    set_latency(servers, options.latency)
    rounds: dict[int, list[Round]] = {group.count: [] for group in groups}
    for number in range(options.rounds):
        for group in groups if number % 2 == 0 else reversed(groups):
            held = group.hold(options.dialogues_in_flight)
            rounds[group.count].append(held)
            print(f"{group.count} runners: {held.per_second:.2f} dialogues/s", flush=True)
    print(f"a runner of {groups[-1].count} has {groups[-1].private_mib():.0f} MiB of its own")
    return rounds


def show(rounds: dict[int, list[Round]], smallest: int) -> None:
    """Print a line for each number of runners: medians over the rounds."""
    columns = ["runners", "in flight", "dialogue, s", "dialogues/s", "to linear"]
    columns += ["ms of runner", "of server", "of driver", "of all", "cores in use", "bound, s"]
    table = Table(*columns, title="processor time per dialogue; bound: of one wave on all cores")
    linear = statistics.median(each.per_second for each in rounds[smallest]) / smallest
    for count, each in rounds.items():
        last = sorted(each, key=lambda one: one.per_second)[len(each) // 2]
        parts = [last.runners, last.servers, last.driver, last.cores * psutil.cpu_count()]
        table.add_row(
            str(count),
            str(last.dialogues),
            f"{last.wall:.1f}",
            f"{last.per_second:.2f}",
            f"{last.per_second / count / linear:.3f}",
            *(f"{1000 * part / last.dialogues:.1f}" for part in parts),
            f"{last.cores / last.wall:.0%}",
            f"{last.cores:.1f}",
        )
    Console(width=140).print(table)


def main(options: argparse.Namespace) -> None:
    """Measure each number of runners and print the ratios to linear growth."""
    ray.init(num_cpus=1024, include_dashboard=False, log_to_driver=False)
    try:
        rounds = measure(options)
    finally:
        ray.shutdown()
    few, many = min(rounds), max(rounds)
    show(rounds, few)
    ratios = [
        (most.per_second / many) / (least.per_second / few)
        for most, least in zip(rounds[many], rounds[few], strict=True)
    ]
    shares = [each.driver / each.wall for each in rounds[many]]
    name = f"runners_{few}_to_{many}"
    report(
        [
            summarise(f"{name}_to_linear", ratios, 0.9),
            summarise(f"{name}_driver_share", shares, 0.05, "lower"),
        ],
        options.output,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runners", default="1,4,16,64")
    parser.add_argument("--dialogues-in-flight", type=int, default=64, help="of each runner")
    parser.add_argument("--latency", type=float, default=10.0, help="seconds of every request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None)
    main(parser.parse_args(sys.argv[1:]))
