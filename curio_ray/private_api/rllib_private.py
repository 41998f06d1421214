"""RLlib's private names: env runners that the caller makes, and an algorithm without a home."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.env_runner_group import EnvRunnerGroup

READ_FROM = "2.60.0"

MakeRunner = Callable[[dict[str, Any], int], Any]
"""From the resources of one runner, as `ray.remote` takes them, and its number to its actor."""


class OwnEnvRunnerGroup(EnvRunnerGroup):
    """RLlib's restarts and health probes around runners that `make_runner` creates.

    RLlib's own group gives each runner its whole config, and knows no places but a trial's.
    """

    def __init__(self, config: AlgorithmConfig, make_runner: MakeRunner, logdir: str) -> None:
        self._make_runner = make_runner
        super().__init__(config=config, local_env_runner=False, logdir=logdir)

    def actors(self) -> dict[int, Any]:
        """The runners' actors by their number."""
        found: dict[int, Any] = self._worker_manager.actors()
        return found

    def restart(self, runner: int) -> None:
        """End a runner that hangs; Ray starts it again, and it must answer a probe first."""
        ray.kill(self.actors()[runner], no_restart=False)
        self._worker_manager.set_actor_state(runner, healthy=False)

    def end(self) -> None:
        """End every runner without asking: they may be in the middle of a dialogue."""
        self._worker_manager.clear()

    def _make_worker(self, *, worker_index: int, **_: Any) -> Any:
        return self._make_runner(dict(self._remote_args), worker_index)


class OwnStateConfig(AlgorithmConfig):
    """The config of an algorithm whose env runners hold no state of RLlib's."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class)
        self._dont_auto_sync_env_runner_states = True


class HomelessAlgorithm(Algorithm):
    """Outside Ray Tune it leaves no folder in the home directory, as RLlib would for each run."""

    def continue_from(self, iteration: int) -> None:
        """Go on counting training iterations from this one."""
        self._iteration = iteration

    def remove_own_logdir(self) -> None:
        """Remove the folder that took the place of RLlib's."""
        shutil.rmtree(self._own_logdir, ignore_errors=True)

    def _setup_logdir(self) -> None:
        self._own_logdir = tempfile.mkdtemp(prefix="curio-")
        if self._storage:
            super()._setup_logdir()
        else:
            self._logdir = self._own_logdir
