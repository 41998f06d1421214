"""The start of `curio train` to its first dialogue, against its parts one after the other.

    python benchmarks/start.py

One after the other: a process that imports what the driver needs, starts Ray, then each server,
the learner and the runners, each of them alone until it is ready, and holds the first dialogue.
Every actor is a process of its own with its own imports. Both ways are measured from the start of
their process, with files in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from ratios import in_turn, report, summarise

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
USERS = 32
FIRST = "first dialogue"


class Laps:
    """Seconds of each part, and processor seconds of this process and all that it started."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self._last = self.process.create_time()
        self._used = 0.0

    def lap(self, part: str) -> None:
        """A part is over."""
        now, used = time.time(), processor_seconds(self.process)
        print(f"{part}\t{now - self._last}\t{used - self._used}", flush=True)
        # reading the processor seconds of all processes takes time that belongs to no part
        self._last, self._used = time.time(), used


def processor_seconds(process: psutil.Process) -> float:
    """Of a process and all its descendants that are alive."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def one_after_the_other(config_file: Path) -> None:
    """Start everything alone; prints a line for each part: name, seconds, processor seconds."""
    laps = Laps()
    from curio_ray.commands.common import check_config
    from curio_ray.config import load_config

    config = load_config(config_file)
    check_config(config, None)
    laps.lap("command line, checks")
    import ray

    import curio_ray.training.train_loop  # noqa: F401
    from curio_ray.evaluation.collect import collect_evaluation
    from curio_ray.heavy_imports import without_collections
    from curio_ray.learner.group import LearnerGroup
    from curio_ray.placement.ray_session import connect_to_ray
    from curio_ray.placement.reservation import reserve
    from curio_ray.roles.roles import RoleFormats
    from curio_ray.rollout.runner_pool import RunnerPool
    from curio_ray.serving.launch import start_servers
    from curio_ray.tasks.registry import make_task
    from curio_ray.weights.sync import make_weight_sync

    with without_collections():
        from curio_ray.rollout.runner_pool import make_runner_group
        from curio_ray.training.algorithm import CurioConfig

    task = make_task(config.task, config.seed)
    RoleFormats(config, task)
    laps.lap("imports of the driver")
    connect_to_ray(config)
    laps.lap("Ray")
    reservation = reserve(config)
    started = {}
    for name, server in config.servers.items():
        alone = config.model_copy(update={"servers": {name: server}})
        started[name] = start_servers(alone, reservation)
        started[name].wait_ready()
        laps.lap(f"server {name}")
    learner = LearnerGroup(config, reservation)
    learner.start()
    learner.wait_ready()
    laps.lap("learner")
    shell = CurioConfig.from_run_config(config)
    group = make_runner_group(shell, shell.run, reservation, tempfile.gettempdir())
    group.foreach_env_runner(lambda runner: runner.assert_healthy())
    laps.lap("runners")
    policy = config.roles.policy.server
    make_weight_sync(config, learner).connect(started[policy].named_replicas(policy))
    handles = {name: servers.replicas(name) for name, servers in started.items()}
    pool = RunnerPool(group, handles, config.cluster.recovery_deadline_s)
    held = collect_evaluation(pool, task, config, USERS, config.seed)
    assert held.first_dialogue_at is not None
    print(f"{FIRST}\t{held.first_dialogue_at - laps._last}\t0", flush=True)
    ray.shutdown()


def sequential(config_file: Path, parts: dict[str, list[tuple[float, float]]]) -> float:
    """The sum of the parts; adds each to those of earlier rounds."""
    command = [sys.executable, __file__, "--one-after-the-other", "--config", str(config_file)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    total = 0.0
    for line in lines:
        name, seconds, used = line.split("\t")
        parts.setdefault(name, []).append((float(seconds), float(used)))
        total += float(seconds)
    print(f"one after the other: {total:.1f} s", flush=True)
    return total


def whole(config_file: Path) -> float:
    """Seconds from the start of `curio train` to its first dialogue."""
    from curio_ray.run_folder.existing_runs import METRICS_FILE
    from curio_ray.run_folder.metrics import read_lines

    with tempfile.TemporaryDirectory(prefix="curio-start-") as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "curio_ray", "train", str(config_file)]
        for override in (
            "training.iterations=1",
            "training.dialogues_per_iteration=8",
            f"evaluation.users={USERS}",
            f"output={run}",
        ):
            command += ["--set", override]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = float(read_lines(run / METRICS_FILE)[0]["seconds_to_first_dialogue"])
        print(f"curio train: first dialogue after {seconds:.1f} s", flush=True)
        return seconds


def show_parts(parts: dict[str, list[tuple[float, float]]], rounds: Sequence[float]) -> None:
    """Medians of the parts, their sum, and the least time that this machine allows.

    Processor seconds of the first dialogue are not counted.
    """
    total = used = 0.0
    for name, measured in parts.items():
        seconds = statistics.median(each[0] for each in measured)
        processor = statistics.median(each[1] for each in measured)
        total, used = total + seconds, used + processor
        print(f"  {name:<24}{seconds:6.1f} s {processor:6.1f} processor seconds")
    cores = psutil.cpu_count() or 1
    print(f"  {'sum':<24}{total:6.1f} s {used:6.1f} processor seconds, {used / cores:.1f} on")
    print(f"  {cores} cores; curio train: {', '.join(f'{each:.1f}' for each in rounds)} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=POCKET)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--one-after-the-other", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one_after_the_other:
        one_after_the_other(chosen.config)
        sys.exit()
    of_parts: dict[str, list[tuple[float, float]]] = {}
    pairs = in_turn(
        lambda: whole(chosen.config), lambda: sequential(chosen.config, of_parts), chosen.rounds
    )
    show_parts(of_parts, [a for a, _ in pairs])
    title = "start_to_sequential_sum"
    report([summarise(title, [a / b for a, b in pairs], 0.6, "lower")], chosen.output)
