"""RLlib's group of dialogue runners, each in the place that its run has reserved for it."""

from __future__ import annotations

from typing import Any

import ray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from curio_ray.placement.reservation import Reservation
from curio_ray.rollout.runner import DialogueRunner

# Declared here, in the driver, and not inherited: a runner's own process does without RLlib.
EnvRunner.register(DialogueRunner)


class PlacedRunners(EnvRunnerGroup):
    """Creates its runners in their places; RLlib's own group knows those of a trial alone."""

    def __init__(self, config: AlgorithmConfig, reservation: Reservation, logdir: str) -> None:
        self._reservation = reservation
        super().__init__(config=config, local_env_runner=False, logdir=logdir)

    def _make_worker(self, *, worker_index: int, **_: Any) -> Any:
        place = self._reservation.runner(worker_index - 1)
        runner = ray.remote(**self._remote_args)(self.env_runner_cls).options(**place)
        # The plain config, since RLlib's would make the runner import RLlib.
        return runner.remote(self._remote_config.run, worker_index)
