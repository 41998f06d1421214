"""The dialogue runner: what RLlib asks of an EnvRunner, in a process without RLlib and PyTorch."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from curio_ray.config import parse_config
from curio_ray.errors import RolloutError
from curio_ray.heavy_imports import import_transformers_without_torch, without_collections
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.local import LocalRunners, Replicas
from curio_ray.tasks.registry import make_task

T = TypeVar("T")


class DialogueRunner:
    """Holds the dialogues it is given; keeps nothing between calls but its connections.

    RLlib's groups, restarts and health probes take it for an EnvRunner (`placement/runners.py`
    declares it one). It does not inherit from that class: the import of RLlib would make up most
    of the process. A task that needs PyTorch here imports it at the top of its module.

    No method is a coroutine: Ray would run the actor inside an event loop, which has no room for
    the dialogues' own.

    Args:
        run: the run's config as plain values.
        index: the runner's number, from 1 on.
    """

    def __init__(self, run: dict[str, Any], index: int) -> None:
        self._index = index
        config = parse_config(run)
        # All dialogues would wait while what was imported and loaded is searched for garbage.
        with without_collections():
            task = make_task(config.task, config.seed)
            import_transformers_without_torch()
            self._local = LocalRunners(config, task)

    def ping(self) -> str:
        """RLlib's probe of a runner that it took for lost."""
        return "pong"

    def apply(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Every call of RLlib: a function of the runner."""
        return func(self, *args, **kwargs)

    def assert_healthy(self) -> None:
        """RLlib's probe: the runner was built completely."""
        assert self._local is not None

    def sample(
        self, assignments: Sequence[Assignment], options: RolloutOptions, replicas: Replicas
    ) -> RolloutBatch | RolloutError:
        """Hold the assigned dialogues.

        An error is returned, not raised: RLlib takes a runner that raises out of service and
        its work is tried again, which would only meet the same error.
        """
        try:
            self._local.connect(replicas)
            return self._local.collect(assignments, options)
        except Exception:  # noqa: BLE001 - see the docstring
            return RolloutError(f"dialogue runner {self._index}: {traceback.format_exc()}")

    def stop(self) -> None:
        """Close the connections."""
        self._local.close()
