"""The driver's side of a weight transfer: new weights reach every replica, within deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from curio_ray.config.servers import WeightTransferConfig
from curio_ray.errors import DeadlineError, ReplicaLostError, ServerError
from curio_ray.serving.client import is_loss
from curio_ray.serving.launch import ServerSet
from curio_ray.weights.plugin import SHARED_MEMORY


class WeightLearner(Protocol):
    """What a push needs of the learner; both calls reach every rank and block."""

    def setup_weight_transfer(self, backend: str, info: dict[str, Any]) -> Any:
        """Make every rank's sender."""

    def send_weights(self, version: int) -> dict[str, Any]:
        """Send from every rank; returns what rank 0's sender returned."""


def setup_weight_transfer(
    learner: WeightLearner,
    servers: ServerSet,
    server: str,
    config: WeightTransferConfig,
    replicas: Sequence[Any] | None = None,
    on_loss: Callable[[Any], None] | None = None,
) -> None:
    """Make the senders and connect them with the server's replicas, by default with all.

    Over `nccl` and `ipc` the replicas connected here are those that every push must reach. Over
    shared memory, with `on_loss`, one that is lost meanwhile is given to it, and the others go on.
    """
    replicas = servers.replicas(server) if replicas is None else replicas
    if config.backend == SHARED_MEMORY:
        seconds = config.deadline_s
        _on_replicas(server, replicas, "init_weight_transfer", ({},), seconds, on_loss)
        learner.setup_weight_transfer(config.backend, {})
        return
    info: dict[str, Any] = {"servers": replicas, "deadline_s": config.deadline_s}
    if config.backend == "nccl":
        workers = servers.config(server).tensor_parallel * len(replicas)
        info["world_size"] = 1 + workers
    learner.setup_weight_transfer(config.backend, info)


def push_weights(
    learner: WeightLearner,
    servers: ServerSet,
    server: str,
    version: int,
    config: WeightTransferConfig,
    replicas: Sequence[Any] | None = None,
    on_loss: Callable[[Any], None] | None = None,
) -> dict[str, float]:
    """Bring replicas of a server, by default all, to a version of the learner's weights.

    Afterwards each token that a replica samples carries `version`, and nothing cached under older
    weights is used. Over `nccl` and `ipc` the sender itself leads the servers through the update.

    With `on_loss` a replica that is lost meanwhile is given to it, and the others go on.

    Returns:
        Seconds by phase: `send`, and over shared memory `start`, `update` and `finish` of the
        slowest replica.

    Raises:
        DeadlineError: sending or loading took longer than `weights.deadline_s`.
        ReplicaLostError: a replica was lost, and there is no `on_loss`.
        ServerError: a replica could not load the weights.
    """
    started = time.perf_counter()
    info = learner.send_weights(version)
    seconds = {"send": time.perf_counter() - started}
    if config.backend != SHARED_MEMORY:
        return seconds
    replicas = servers.replicas(server) if replicas is None else replicas
    # Ray fetches all buckets to a replica's node before it makes the call, which pauses the engine.
    arguments = (version, *info["buckets"])
    loaded = _on_replicas(server, replicas, "load_weights", arguments, config.deadline_s, on_loss)
    for phases in loaded:
        for phase, phase_seconds in phases.items():
            seconds[phase] = max(seconds.get(phase, 0.0), phase_seconds)
    return seconds


def _on_replicas(
    server: str,
    replicas: Sequence[Any],
    method: str,
    arguments: tuple[Any, ...],
    deadline_s: float,
    on_loss: Callable[[Any], None] | None = None,
) -> list[Any]:
    """Call all replicas; returns the answers of those that are not lost."""
    calls = [getattr(replica, method).remote(*arguments) for replica in replicas]
    done, late = ray.wait(calls, num_returns=len(calls), timeout=deadline_s) if calls else ([], [])
    answers = []
    for call in done:
        try:
            answers.append(ray.get(call))
        except RayError as error:
            if on_loss is None or not is_loss(error):
                raise _explain(error, server, method) from error
            on_loss(replicas[calls.index(call)])
    if late:
        raise DeadlineError(
            f"server '{server}' did not finish {method} within {deadline_s:g} s; "
            "raise weights.deadline_s, or look for a stuck server in its log"
        )
    return answers


def _explain(error: RayError, server: str, method: str) -> ServerError:
    if is_loss(error):
        return ReplicaLostError(f"a replica of server '{server}' was lost in {method}: {error}")
    cause = getattr(error, "cause", None)
    if isinstance(cause, ServerError):
        return ServerError(str(cause))
    return ServerError(f"server '{server}' failed in {method}: {cause or error}")
