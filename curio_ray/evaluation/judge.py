"""`curio judge`: the policies of two runs with the same users, and whose dialogues are better."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue, User
from curio_ray.errors import RolloutError
from curio_ray.evaluation.collect import collect_evaluation, evaluation_options
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.evaluation.pair_judge import PairJudge
from curio_ray.evaluation.reader_check import check_readers
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.evaluation.win_rate import WinRate, win_rate_of_judge, win_rate_of_verdicts
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.rewards.streams import TASK
from curio_ray.roles.roles import RoleFormats
from curio_ray.rollout.runner import LocalRunners, Replicas, RolloutBatch
from curio_ray.serving.launch import start_servers
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task

VERDICT = "reward model's verdict"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Win rates of the first policy by criterion, and the figures of both as in an evaluation."""

    win_rates: dict[str, WinRate]
    first: dict[str, Any]
    second: dict[str, Any]


def judge_policies(
    first: RunConfig, second: RunConfig, users: int, seed: int, say: Callable[[str], None]
) -> Judgement:
    """Let both policies talk with the same held-out users, then compare user by user.

    Args:
        first: serves both policies; its roles name the first one's server.
        second: the same, with the second policy in its role.
        users: how many of the held-out users.
        seed: of the sampling and of the bootstrap.
        say: told what is being waited for.

    Raises:
        CurioError: a dialogue could not be held, or the judge cannot compare this task's dialogues.
    """
    task = make_task(first.task, first.seed)
    role = first.evaluation.judge
    judge = None if role is None else PairJudge(role.server, first, task)
    reader = make_second_user_model(first, task)
    say("starting Ray and the servers")
    connect_to_ray(first)
    with contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        servers = start_servers(first, learning=False)
        stack.callback(servers.shutdown)
        servers.wait_ready()
        formats = RoleFormats(first, task)
        options = evaluation_options(task, first, judged=judge is None)
        check_readers(first, task, formats, servers, [options], reader, judge)
        held, figures = [], []
        for config in (first, second):
            say(f"holding {users} dialogues")
            batch = _hold(config, task, servers.handles(), users, seed, judge is None)
            reread = None if reader is None else reader.read(batch.dialogues, servers)
            held.append(batch)
            figures.append(
                dict(
                    evaluation_metrics(
                        batch.dialogues, task, first.evaluation.alarms, seed, reread=reread,
                        failures=batch.failures,
                    )
                )
            )  # fmt: skip
        everyone = task.users("held_out")[:users]
        if judge is None:
            own, others = (_verdicts(batch, everyone) for batch in held)
            margin = first.evaluation.verdict_margin
            win_rates = {VERDICT: win_rate_of_verdicts(own, others, margin)}
        else:
            say(f"comparing {users} pairs of dialogues")
            pairs = Pairs.of(held[0], held[1], everyone)
            if not pairs.first:
                raise RolloutError("no user could talk with both policies; see why in the log")
            chances = judge.compare(pairs.first, pairs.second, servers)
            win_rates = {
                name: win_rate_of_judge(np.concatenate([each, pairs.undecided]))
                for name, each in chances.items()
            }
    return Judgement(win_rates, *figures)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The dialogues of users whom both policies could talk with, and the other users' chances.

    `undecided` [users, 2] are certain for the policy whose dialogue alone was held, and a half
    where neither's was.
    """

    first: list[Dialogue]
    second: list[Dialogue]
    undecided: np.ndarray

    @classmethod
    def of(cls, first: RolloutBatch, second: RolloutBatch, everyone: Sequence[User]) -> Pairs:
        """Those of two batches with the same users."""
        own, others = ({each.user.id: each for each in one.dialogues} for one in (first, second))
        both = [each.id for each in everyone if each.id in own and each.id in others]
        rest = [each.id for each in everyone if each.id not in own or each.id not in others]
        chances = [(1 + (each in own) - (each in others)) / 2 for each in rest]
        undecided = np.repeat(np.array(chances)[:, None], 2, axis=1)
        return cls([own[each] for each in both], [others[each] for each in both], undecided)


def _hold(
    config: RunConfig, task: Task, replicas: Replicas, users: int, seed: int, judged: bool
) -> RolloutBatch:
    with contextlib.closing(LocalRunners(config, task)) as runners:
        runners.connect(replicas)
        return collect_evaluation(runners, task, config, users, seed, judged=judged)


def _verdicts(batch: RolloutBatch, everyone: Sequence[User]) -> np.ndarray:
    """The verdicts [users]; a dialogue that could not be held has none of it."""
    held = {each.user.id: each.policy_turns[-1].rewards[TASK] for each in batch.dialogues}
    return np.array([held.get(each.id, 0.0) for each in everyone])
