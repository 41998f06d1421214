"""The driver's eye on its servers: which replicas are lost, and bringing them back in time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from curio_ray.errors import DeadlineError, ReplicaLostError, ServerError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a server: its actor, and the call that ends once its engine has started."""

    server: str
    number: int
    actor: Any
    ready: Any

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"server '{self.server}' (replica {self.number})"


@dataclass(slots=True)
class _Watched:
    """`life` fails when the process is gone; `back` is set from then on, until it serves again."""

    replica: Replica
    life: Any
    back: Any = None
    lost_at: float = 0.0


class ReplicaWatch:
    """Sees to it that lost replicas come back.

    Ray starts a lost actor again as soon as a node has room for it; the watch has it load its
    model and take the present weights, and ends the run when that takes too long. It does nothing
    between the calls of its methods.
    """

    def __init__(self, replicas: Sequence[Replica], deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._watched = [_Watched(each, each.actor.until_lost.remote()) for each in replicas]
        self.restarts = 0

    def alive(self, server: str) -> dict[str, Any]:
        """Actor handles of the server's replicas that are not lost, by the replicas' names."""
        self._notice()
        return {
            each.replica.name: each.replica.actor
            for each in self._watched
            if each.replica.server == server and each.back is None
        }

    def mark_lost(self, name: str) -> None:
        """Take a replica for lost that a call could not reach."""
        for each in self._watched:
            if each.replica.name == name and each.back is None:
                self._lose(each)

    def check(self, renew: Callable[[Replica], None]) -> None:
        """Notice losses, and let replicas that are back serve again.

        Args:
            renew: given a replica that has loaded its model, brings it to the present weights.
                May raise `ReplicaLostError`.

        Raises:
            DeadlineError: a lost replica is not back within the deadline.
            ServerError: a lost replica cannot come back.
        """
        self._notice()
        for each in self._watched:
            if each.back is None:
                continue
            if ray.wait([each.back], timeout=0)[0]:
                self._take_back(each, renew)
            if each.back is not None and time.monotonic() - each.lost_at > self._deadline_s:
                raise DeadlineError(
                    f"{each.replica.name} was lost and not back within {self._deadline_s:g} s; go "
                    "on from the last checkpoint with --resume once the cluster has room for it, "
                    "or raise cluster.recovery_deadline_s"
                )

    def _notice(self) -> None:
        lives = {each.life: each for each in self._watched if each.back is None}
        if lives:
            ended, _ = ray.wait(list(lives), num_returns=len(lives), timeout=0)
            for life in ended:
                self._lose(lives[life])

    def _lose(self, each: _Watched) -> None:
        logger.warning("%s was lost; Ray starts it again where it finds room", each.replica.name)
        each.lost_at = time.monotonic()
        each.back = _ready_again(each.replica.actor)

    def _take_back(self, each: _Watched, renew: Callable[[Replica], None]) -> None:
        actor = each.replica.actor
        try:
            ray.get(each.back)
            renew(each.replica)
            each.life = actor.until_lost.remote()
        except RayTaskError as error:
            raise ServerError(f"{each.replica.name} was lost and: {error.cause}") from error
        except ReplicaLostError:
            each.back = _ready_again(actor)
            return
        except RayError as error:
            raise ServerError(f"{each.replica.name} was lost for good: {error}") from error
        logger.warning(
            "%s serves again after %.0f s", each.replica.name, time.monotonic() - each.lost_at
        )
        each.back = None
        self.restarts += 1


def _ready_again(actor: Any) -> Any:
    # Unlike other calls this one waits for Ray to have started the actor again.
    return actor.ready_again.options(max_task_retries=-1).remote()
