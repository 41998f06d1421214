"""All dialogue runners together: shares the work, replaces runners that die, loses nothing."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.env_runner import EnvRunner

from curio_ray.errors import RolloutError
from curio_ray.placement.reservation import Reservation
from curio_ray.private_api.rllib_private import OwnEnvRunnerGroup
from curio_ray.rollout.assignment import Assignment, RolloutOptions
from curio_ray.rollout.runner import DialogueRunner, Replicas, RolloutBatch

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5

# Declared here, in the driver, and not inherited: a runner's own process does without RLlib.
EnvRunner.register(DialogueRunner)


def make_runner_group(
    config: AlgorithmConfig, run: dict[str, Any], reservation: Reservation, logdir: str
) -> OwnEnvRunnerGroup:
    """RLlib's group of the dialogue runners of a run, each in the place reserved for it.

    `run` is the run's config as plain values: RLlib's config would make a runner import RLlib.
    """

    def make_runner(resources: dict[str, Any], number: int) -> Any:
        place = reservation.runner(number - 1)
        return ray.remote(**resources)(DialogueRunner).options(**place).remote(run, number)

    return OwnEnvRunnerGroup(config, make_runner, logdir)


@dataclass(slots=True)
class Share:
    """The part of a batch that one runner holds. `tag` names one try at it."""

    assignments: list[Assignment]
    deaths: int = 0
    tag: str = ""
    deadline: float = 0.0


class RunnerPool:
    """Gives assignments to RLlib's remote EnvRunners and gathers their dialogues.

    Args:
        group: the runners.
        replicas: the servers that they speak to.
        recovery_deadline_s: seconds within which one of the runners must be back when all are lost.
    """

    def __init__(
        self,
        group: OwnEnvRunnerGroup,
        replicas: Replicas,
        recovery_deadline_s: float,
    ) -> None:
        self._group = group
        self._replicas = replicas
        self._recovery_deadline_s = recovery_deadline_s
        self._tags = itertools.count()
        self._interrupted = threading.Event()
        self.restarts = 0

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        """Hold all assigned dialogues, in the order asked for.

        The work of a runner that dies or hangs goes to another one, from the start of its share.

        Raises:
            RolloutError: a runner reports an error, a share ends its runner again and again, or
                no runner is alive within the deadline.
        """
        waiting = _shares(assignments, max(1, self._group.num_remote_env_runners()))
        working: dict[int, Share] = {}
        finished: list[RolloutBatch] = []
        alive_at = time.monotonic()
        while waiting or working:
            if self._interrupted.is_set():
                raise RolloutError("the run ended while dialogues were held")
            self._hand_out(waiting, working, options)
            finished += self._fetch(working)
            waiting += self._take_back_from_the_dead(working, options)
            if working:
                alive_at = time.monotonic()
            elif waiting and time.monotonic() - alive_at > self._recovery_deadline_s:
                raise RolloutError(
                    f"no dialogue runner came back within {self._recovery_deadline_s:g} s; see the "
                    "run's Ray logs for why they died; go on with --resume once the cluster has "
                    "room for them, or raise cluster.recovery_deadline_s"
                )
        return _in_order(assignments, finished)

    def interrupt(self) -> None:
        """End a `collect` of another thread, and each later one, soon and with an error."""
        self._interrupted.set()

    def _hand_out(
        self, waiting: list[Share], working: dict[int, Share], options: RolloutOptions
    ) -> None:
        idle = [each for each in self._group.healthy_env_runner_ids() if each not in working]
        for runner in idle[: len(waiting)]:
            share = waiting.pop(0)
            share.tag = f"share-{next(self._tags)}"
            share.deadline = time.monotonic() + self._seconds(share, options)
            self._group.foreach_env_runner_async(
                "sample",
                tag=share.tag,
                kwargs={
                    "assignments": share.assignments,
                    "options": options,
                    "replicas": self._replicas,
                },
                remote_worker_ids=[runner],
            )
            working[runner] = share

    def _fetch(self, working: dict[int, Share]) -> list[RolloutBatch]:
        """Results of the shares in work; those of an earlier, interrupted call have other tags."""
        if not working:
            return []
        batches = []
        for runner, result in self._group.fetch_ready_async_reqs(
            tags=[share.tag for share in working.values()],
            timeout_seconds=POLL_SECONDS,
            mark_healthy=True,
        ):
            if isinstance(result, RolloutError):
                raise result
            del working[runner]
            batches.append(result)
        return batches

    def _take_back_from_the_dead(
        self, working: dict[int, Share], options: RolloutOptions
    ) -> list[Share]:
        healthy, taken_back = set(self._group.healthy_env_runner_ids()), []
        for runner, share in list(working.items()):
            if runner in healthy and time.monotonic() > share.deadline:
                logger.warning("dialogue runner %d passed its deadline and is restarted", runner)
                self._group.restart(runner)
                healthy.discard(runner)
            if runner not in healthy:
                logger.warning("dialogue runner %d died; its share is held again", runner)
                taken_back.append(_after_a_death(working.pop(runner), options))
                self.restarts += 1
        if len(healthy) < self._group.num_remote_env_runners():
            self._group.probe_unhealthy_env_runners()
            time.sleep(0.0 if working else POLL_SECONDS)
        return taken_back

    def _seconds(self, share: Share, options: RolloutOptions) -> float:
        waves = -(-len(share.assignments) // options.in_flight)
        return waves * options.attempts * options.deadline_s + self._recovery_deadline_s


def _after_a_death(share: Share, options: RolloutOptions) -> Share:
    deaths = share.deaths + 1
    if deaths > options.attempts:
        raise RolloutError(
            f"{deaths} dialogue runners died over the same {len(share.assignments)} dialogues; "
            "see the run's Ray logs for why, and lower rollout.dialogues_in_flight if memory ran "
            "out"
        )
    return Share(share.assignments, deaths)


def _shares(assignments: Sequence[Assignment], count: int) -> list[Share]:
    parts = [list(assignments[start::count]) for start in range(count)]
    return [Share(part) for part in parts if part]


def _in_order(assignments: Sequence[Assignment], finished: Sequence[RolloutBatch]) -> RolloutBatch:
    whole = RolloutBatch()
    for batch in finished:
        whole.extend(batch)
    position = {assignment.dialogue_id: index for index, assignment in enumerate(assignments)}
    whole.dialogues.sort(key=lambda dialogue: position[dialogue.id])
    return whole
