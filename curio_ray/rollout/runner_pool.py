"""All dialogue runners together: shares the work, replaces runners that die, loses nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from curio_ray.errors import RolloutError
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.local import Replicas

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RESTART_DEADLINE_SECONDS = 180.0


class RunnerPool:
    """Gives assignments to RLlib's remote EnvRunners and gathers their dialogues."""

    def __init__(self, group: EnvRunnerGroup, replicas: Replicas) -> None:
        self._group = group
        self._replicas = replicas
        self.restarts = 0

    def collect(self, assignments: Sequence[Assignment], options: RolloutOptions) -> RolloutBatch:
        """Hold all assigned dialogues, in the order asked for.

        The work of a runner that dies or hangs goes to another one, from the start of its share.

        Raises:
            RolloutError: a runner reports an error, or none is alive within the deadline.
        """
        waiting = _shares(assignments, max(1, self._group.num_remote_env_runners()))
        working: dict[int, tuple[list[Assignment], float]] = {}
        finished: dict[str, RolloutBatch] = {}
        alive_at = time.monotonic()
        while waiting or working:
            self._hand_out(waiting, working, options)
            for runner, result in self._group.fetch_ready_async_reqs(
                timeout_seconds=POLL_SECONDS if working else 0.0, mark_healthy=True
            ):
                if isinstance(result, RolloutError):
                    raise result
                share, _ = working.pop(runner)
                finished[share[0].dialogue_id] = result
            self._take_back_from_the_dead(waiting, working, options)
            if working:
                alive_at = time.monotonic()
            elif waiting and time.monotonic() - alive_at > RESTART_DEADLINE_SECONDS:
                raise RolloutError(
                    f"no dialogue runner came back within {RESTART_DEADLINE_SECONDS:g} s; "
                    "see the run's Ray logs for why they died"
                )
        return _in_order(assignments, finished)

    def _hand_out(
        self,
        waiting: list[list[Assignment]],
        working: dict[int, tuple[list[Assignment], float]],
        options: RolloutOptions,
    ) -> None:
        idle = [each for each in self._group.healthy_env_runner_ids() if each not in working]
        for runner in idle[: len(waiting)]:
            share = waiting.pop(0)
            self._group.foreach_env_runner_async(
                "sample",
                kwargs={
                    "assignments": share,
                    "options": options,
                    "replicas": self._replicas,
                },
                remote_worker_ids=[runner],
            )
            working[runner] = (share, time.monotonic() + _deadline(share, options))

    def _take_back_from_the_dead(
        self,
        waiting: list[list[Assignment]],
        working: dict[int, tuple[list[Assignment], float]],
        options: RolloutOptions,
    ) -> None:
        healthy = set(self._group.healthy_env_runner_ids())
        now = time.monotonic()
        for runner, (share, deadline) in list(working.items()):
            if runner in healthy and now > deadline:
                logger.warning("dialogue runner %d passed its deadline and is restarted", runner)
                ray.kill(self._group._worker_manager.actors()[runner], no_restart=False)
                healthy.discard(runner)
            if runner not in healthy:
                logger.warning("dialogue runner %d died; its share is held again", runner)
                self.restarts += 1
                waiting.append(share)
                del working[runner]
        if len(healthy) < self._group.num_remote_env_runners():
            self._group.probe_unhealthy_env_runners()
            time.sleep(POLL_SECONDS if not working else 0.0)


def _deadline(share: Sequence[Assignment], options: RolloutOptions) -> float:
    waves = -(-len(share) // options.in_flight)
    return waves * options.attempts * options.deadline_s + 60.0


def _shares(assignments: Sequence[Assignment], count: int) -> list[list[Assignment]]:
    return [list(assignments[start::count]) for start in range(count) if assignments[start::count]]


def _in_order(assignments: Sequence[Assignment], finished: dict[str, RolloutBatch]) -> RolloutBatch:
    whole = RolloutBatch()
    for batch in finished.values():
        whole.extend(batch)
    position = {assignment.dialogue_id: index for index, assignment in enumerate(assignments)}
    whole.dialogues.sort(key=lambda dialogue: position[dialogue.id])
    return whole
