"""One of two replicas and one of two runners are lost in a run; the other one goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from curio_ray.training.algorithm import Curio, CurioConfig

pytestmark = pytest.mark.slow

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
PATIENCE_S = 60.0
OVERRIDES = [
    "servers.policy.replicas=2",
    "rollout.runners=2",
    "rollout.attempts=1",
    "rollout.dialogue_deadline_s=10",
    "cluster.recovery_deadline_s=40",
    "training.dialogues_per_iteration=8",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """After an iteration: its metrics, and how many runners were lost until then."""

    metrics: dict[str, Any]
    runners_lost: int


def train(algorithm: Curio) -> Seen:
    algorithm.train()
    return Seen(algorithm.last_iteration.metrics, algorithm.runners.restarts)


@pytest.fixture(scope="module")
def algorithm(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Curio]:
    output = tmp_path_factory.mktemp("run") / "run"
    algorithm = CurioConfig.from_yaml(POCKET, [*OVERRIDES, f"output={output}"]).build_algo()
    yield algorithm
    algorithm.stop()


@pytest.fixture(scope="module")
def without_a_replica(algorithm: Curio) -> Seen:
    """The first iteration, a replica of the policy lost since before the learner takes part."""
    trainer = algorithm.trainer
    trainer.learner.wait_ready()
    lost = trainer.servers.replicas("policy")[1]
    os.kill(ray.get(lost.ready.remote())["pid"], signal.SIGKILL)
    until = time.monotonic() + PATIENCE_S
    while len(trainer.supervisor.watch.alive("policy")) > 1 and time.monotonic() < until:
        time.sleep(0.01)
    return train(algorithm)


@pytest.fixture(scope="module")
def with_a_stuck_runner(algorithm: Curio, without_a_replica: Seen) -> Seen:
    """The iteration after that, in which one runner does not move."""
    runner = algorithm.env_runner_group.actors()[1]
    os.kill(ray.get(runner.__ray_call__.remote(lambda runner: os.getpid())), signal.SIGSTOP)
    return train(algorithm)


def test_training_begins_without_the_replica(without_a_replica: Seen) -> None:
    assert without_a_replica.metrics["dialogues"] == 8
    assert without_a_replica.metrics["weight_version"] == 1


def test_a_runner_that_is_stuck_is_lost_once_and_its_dialogues_are_held(
    with_a_stuck_runner: Seen,
) -> None:
    assert with_a_stuck_runner.metrics["dialogues"] == 16
    assert with_a_stuck_runner.runners_lost == 1
