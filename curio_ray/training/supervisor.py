"""The driver's watch over a run: learner and policy's server joined, lost replicas brought back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

from curio_ray.config import RunConfig
from curio_ray.learner.group import LearnerGroup
from curio_ray.serving.launch import ServerSet
from curio_ray.serving.replicas import Replica
from curio_ray.weights.sync import make_weight_sync

POLL_SECONDS = 0.5

P = ParamSpec("P")
T = TypeVar("T")


class Supervisor:
    """Brings new weights to the policy's replicas, and the present ones to those that come back.

    It does nothing between the calls of its methods, which must come from one thread: the ranks of
    a learner meet in collectives, and calls of two threads could reach them in different orders.
    """

    def __init__(self, config: RunConfig, servers: ServerSet, learner: LearnerGroup) -> None:
        self._policy = config.roles.policy.server
        self._servers = servers
        self._learner = learner
        self._joined = False
        self._sync = make_weight_sync(config, learner)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="supervised")
        self.version = 0

    def wait_ready(self) -> None:
        """Wait until the servers answer; from then on their replicas are watched."""
        self._servers.wait_ready()
        self.watch = self._servers.watch()

    @property
    def restarts(self) -> int:
        """How many replicas were lost and are back."""
        return self.watch.restarts

    def during(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do some work that needs the servers, in a thread, and `check` until it is done.

        Raises:
            CurioError: those of `check`, which do not wait for the work, and the work's own.
        """
        doing = self._worker.submit(work, *args, **kwargs)
        while True:
            self.check()
            if wait([doing], timeout=POLL_SECONDS).done:
                return doing.result()

    def check(self) -> None:
        """Notice lost replicas, and let those that are back serve again.

        Raises:
            DeadlineError: a lost replica is not back within `cluster.recovery_deadline_s`.
            ServerError: a lost replica cannot come back.
            LearnerError: the learner failed while it was loading.
        """
        if not self._joined:
            self._learner.check_start()
        self.watch.check(self._renew)

    def join(self) -> None:
        """Wait, once, until the learner has loaded, and connect the policy's replicas with it.

        Raises:
            DeadlineError: it was not ready within `learner.start_deadline_s`.
            LearnerError: it failed.
        """
        if not self._joined:
            self._learner.wait_ready()
            self._sync.connect(self.watch.alive(self._policy), self.watch.mark_lost)
            self._joined = True

    def push(self, version: int) -> dict[str, float]:
        """Bring the learner's weights, under a version, to the policy's replicas that are alive.

        Returns:
            Seconds by phase; see `WeightSync.push`.
        """
        self.version = version
        return self._sync.push(self.watch.alive(self._policy), version, self.watch.mark_lost)

    def close(self) -> None:
        """Wait for the work that is still done."""
        self._worker.shutdown()

    def _renew(self, replica: Replica) -> None:
        """Give the present weights to a replica that has started anew, where it needs them."""
        if replica.server == self._policy:
            self.join()
            newcomer = {replica.name: replica.actor}
            self._sync.renew(newcomer, self.watch.alive(self._policy), self.version)
