"""The dialogue runner: an RLlib EnvRunner that holds dialogues against model servers."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from ray.rllib.env.env_runner import EnvRunner

from curio_ray.config import parse_config
from curio_ray.errors import RolloutError
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.local import LocalRunners, Replicas
from curio_ray.tasks.registry import make_task


class DialogueRunner(EnvRunner):
    """Holds the dialogues it is given; keeps nothing between calls but its connections.

    No method is a coroutine: Ray would run the actor inside an event loop, which has no room for
    the dialogues' own.
    """

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        run = parse_config(config.run)
        self._local = LocalRunners(run, make_task(run.task, run.seed))

    def sample(
        self, assignments: Sequence[Assignment], options: RolloutOptions, replicas: Replicas
    ) -> RolloutBatch | RolloutError:
        """Hold the assigned dialogues.

        An error is returned, not raised: RLlib ends a runner that raises and loses the reason.
        """
        try:
            self._local.connect(replicas)
            return self._local.collect(assignments, options)
        except Exception:  # noqa: BLE001 - see the docstring
            return RolloutError(f"dialogue runner {self.worker_index}: {traceback.format_exc()}")

    def assert_healthy(self) -> None:
        """RLlib's probe: the runner was built completely."""
        assert self._local is not None

    def get_spaces(self) -> dict:
        """No gym spaces: dialogues are text."""
        return {}

    def get_metrics(self) -> dict:
        """Metrics are computed from the dialogues by the driver."""
        return {}

    def get_state(self, *args: Any, **kwargs: Any) -> dict:
        """A runner has no state to keep."""
        return {}

    def set_state(self, *args: Any, **kwargs: Any) -> None:
        """A runner has no state to restore."""

    def stop(self) -> None:
        """Close the connections."""
        self._local.close()
