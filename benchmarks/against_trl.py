"""Rollout plus learning against TRL's GRPO trainer with a rollout function, in its own environment.

    python benchmarks/against_trl.py

Both hold dialogues of the same task with the same models and groups of users, and take one
optimizer step for each batch. They take turns, and wait while the other is measured.
benchmarks/trl/README.md says what each side does. The environment is made where it is missing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import ray
from ratios import Ratio, in_turn, report, summarise
from rich.console import Console
from rich.table import Table
from spoken_lengths import long_talk_overrides, write_longer_models
from spoken_server import SpokenServer
from trl_process import Round, TrlProcess, environment_python

from curio_ray.config import RunConfig, load_config
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.rewards.streams import stream_weights, weighted_rewards
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.serving import launch
from curio_ray.tasks.base import ReadingPrompt
from curio_ray.tasks.registry import make_task
from curio_ray.training.algorithm import Curio, CurioConfig

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
PHASES = ("collect", "score", "credit", "learn", "weights")


class Ours:
    """The project as `curio train` runs it: servers, learner and runners as Ray actors."""

    def __init__(self, config: RunConfig) -> None:
        connect_to_ray(config)
        self._weights = stream_weights(config.rewards)
        self._algorithm: Curio = CurioConfig.from_run_config(config).build_algo()

    def run(self, iterations: int) -> Round:
        """Take some iterations, each with one optimizer step."""
        began = time.perf_counter()
        dialogues, phases = [], dict.fromkeys(PHASES, 0.0)
        for _ in range(iterations):
            self._algorithm.train()
            iteration = self._algorithm.last_iteration
            assert iteration is not None
            dialogues += iteration.dialogues
            for name in PHASES:
                phases[name] += iteration.metrics[f"time/{name}"]
        self._algorithm.trainer.settle()
        seconds = time.perf_counter() - began
        turns = [turn for dialogue in dialogues for turn in dialogue.policy_turns]
        return Round(
            seconds=seconds,
            dialogues=len(dialogues),
            policy_turns=len(turns),
            policy_tokens=sum(len(turn.token_ids) for turn in turns),
            context_tokens=sum(len(dialogue.token_ids) for dialogue in dialogues),
            reward=sum(float(weighted_rewards(each, self._weights).sum()) for each in dialogues),
            phases=phases,
        )

    def stop(self) -> None:
        """End all actors."""
        self._algorithm.stop()
        ray.shutdown()


class Measured:
    """One side of the comparison: its rounds, and how busy the other was meanwhile."""

    def __init__(
        self, run: Callable[[], Round], others: Callable[[], list[psutil.Process]]
    ) -> None:
        self._run, self._others = run, others
        self.rounds: list[Round] = []
        self.disturbance: list[float] = []

    def rate(self) -> float:
        """Dialogues per second of one more round."""
        before, began = processor_seconds(self._others()), time.perf_counter()
        self.rounds.append(self._run())
        busy = processor_seconds(self._others()) - before
        self.disturbance.append(busy / (time.perf_counter() - began))
        return self.rounds[-1].dialogues / self.rounds[-1].seconds

    def median(self, value: Callable[[Round], float]) -> float:
        """The median of a value over the rounds."""
        return statistics.median(value(each) for each in self.rounds)


def processor_seconds(processes: list[psutil.Process]) -> float:
    """Processor time that these processes have used until now."""
    times = [process.cpu_times() for process in processes if process.is_running()]
    return sum(each.user + each.system for each in times)


def settings_of(
    config: RunConfig, changes: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """What TRL's process must know; the readings, because they cannot be made without Ray."""
    task, roles = make_task(config.task, config.seed), config.roles
    kind = type(task)

    def reading(server: str, prompt: ReadingPrompt) -> dict[str, Any]:
        ids = ReadingFormat(ChatFormat.load(config.servers[server].model), prompt)
        return {
            "names": {"policy": prompt.policy_name, "user": prompt.user_name},
            "start_ids": ids.start_ids,
            "question_ids": ids.question_ids,
            "label_ids": ids.label_ids,
        }

    return {
        "config": str(options.config),
        # Where the project is not installed a task has no short name.
        "overrides": [*changes, f"task.name={kind.__module__}:{kind.__name__}"],
        "threads": options.threads,
        "one_by_one": options.one_by_one,
        "long_talk": options.long_talk,
        "belief": reading(roles.user_model.server, task.user_model_prompt()),
        "verdicts": {
            user.id: reading(roles.reward_model.server, task.reward_model_prompt(user))
            for user in task.users("train")
        },
    }


def overrides(options: argparse.Namespace) -> tuple[str, ...]:
    """The differences to the config: groups instead of a value head, as in GRPO, and small steps.

    A policy that learns soon holds other dialogues than the other side's; with steps of next to no
    size both do all the work and hold the same ones.
    """
    return (
        "learner.learning_rate=1e-9",
        f"learner.threads={options.threads}",
        f"training.max_staleness={int(options.asynchronous)}",
        "training.iterations=1000000",
        "credit.estimator=rloo",
        f"credit.group_size={options.group}",
        f"training.dialogues_per_iteration={options.dialogues}",
        "cluster.dashboard=false",
        *options.set,
    )


def measure(options: argparse.Namespace) -> tuple[list[tuple[float, float]], Measured, Measured]:
    """Pairs of rates, and both sides with their rounds."""
    with tempfile.TemporaryDirectory() as folder:
        changes = overrides(options)
        if options.long_talk:
            models = write_longer_models(Path(folder))
            changes = (*changes, *long_talk_overrides(models), "task.name=spoken_lengths:LongTalk")
            launch.ModelServer = SpokenServer  # type: ignore[misc]
        return _measure(load_config(options.config, changes), changes, options)


def _measure(
    config: RunConfig, changes: Sequence[str], options: argparse.Namespace
) -> tuple[list[tuple[float, float]], Measured, Measured]:
    python = environment_python(options.trl_environment)
    ours = Ours(config)
    try:
        our_processes = psutil.Process().children(recursive=True)
        trl = TrlProcess(python, settings_of(config, changes, options))
        try:
            ours.run(options.warm_up)
            trl.run(options.warm_up)
            one = Measured(lambda: ours.run(options.iterations), lambda: [trl.process])
            other = Measured(lambda: trl.run(options.iterations), lambda: our_processes)
            return in_turn(one.rate, other.rate, options.rounds), one, other
        finally:
            trl.stop()
    finally:
        ours.stop()


def show(ours: Measured, trl: Measured) -> None:
    """Print what both did and where the time went."""
    console = Console(width=120)
    table = Table("median over rounds", "ours", "TRL")
    for what, value in (
        ("dialogues per second", lambda each: each.dialogues / each.seconds),
        ("dialogues", lambda each: each.dialogues),
        ("policy turns per dialogue", lambda each: each.policy_turns / each.dialogues),
        (
            "sampled and learned tokens per dialogue",
            lambda each: each.policy_tokens / each.dialogues,
        ),
        ("tokens of a dialogue in all", lambda each: each.context_tokens / each.dialogues),
        ("reward of a dialogue", lambda each: each.reward / each.dialogues),
    ):
        table.add_row(what, f"{ours.median(value):.2f}", f"{trl.median(value):.2f}")
    idle = [f"{statistics.median(each.disturbance):.3f}" for each in (ours, trl)]
    table.add_row("cores that the other, waiting, used meanwhile", *idle)
    console.print(table)
    for name, side in (("ours", ours), ("TRL", trl)):
        parts = Table(f"{name}: phase", "ms per dialogue")
        for phase in side.rounds[0].phases:
            spent = [1000 * each.phases[phase] / each.dialogues for each in side.rounds]
            parts.add_row(phase, f"{statistics.median(spent):.1f}")
        console.print(parts)


def ratio_of(pairs: list[tuple[float, float]], options: argparse.Namespace) -> Ratio:
    """Ours to TRL, in dialogues per second."""
    name = "rollout_and_learning_to_trl"
    for way in ("long_talk", "one_by_one", "asynchronous"):
        name += f"_{way}" if getattr(options, way) else ""
    return summarise(name, [ours / trl for ours, trl in pairs], 4.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-environment", type=Path, default=Path(".trl"))
    parser.add_argument("--config", type=Path, default=POCKET)
    parser.add_argument("--set", action="append", default=[], help="a.b.c=value in the config")
    parser.add_argument("--dialogues", type=int, default=64, help="for each optimizer step")
    parser.add_argument("--group", type=int, default=8, help="dialogues with the same user")
    parser.add_argument("--iterations", type=int, default=4, help="of each, in a round")
    parser.add_argument("--warm-up", type=int, default=2, help="iterations left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of either learner")
    parser.add_argument("--asynchronous", action="store_true", help="ours collects while it learns")
    parser.add_argument(
        "--one-by-one", action="store_true", help="TRL holds one dialogue after another"
    )
    parser.add_argument(
        "--long-talk", action="store_true", help="utterances as long as in real conversations"
    )
    parser.add_argument("--output", type=Path, default=None)
    chosen = parser.parse_args()
    rates, first, second = measure(chosen)
    show(first, second)
    report([ratio_of(rates, chosen)], chosen.output)
