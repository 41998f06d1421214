"""`curio judge`: the policies of two runs with the same users, and whose dialogues are better."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue
from curio_ray.evaluation.collect import collect_evaluation
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.evaluation.pair_judge import PairJudge
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.evaluation.win_rate import WinRate, win_rate_of_judge, win_rate_of_verdicts
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.rewards.streams import TASK
from curio_ray.rollout.runner import LocalRunners, Replicas
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
        held, figures = [], []
        for config in (first, second):
            say(f"holding {users} dialogues")
            dialogues = _hold(config, task, servers.handles(), users, seed, judge is None)
            reread = None if reader is None else reader.read(dialogues, servers)
            alarms = first.evaluation.alarms
            held.append(dialogues)
            figures.append(dict(evaluation_metrics(dialogues, task, alarms, seed, reread=reread)))
        if judge is None:
            own, others = (_verdicts(dialogues) for dialogues in held)
            margin = first.evaluation.verdict_margin
            win_rates = {VERDICT: win_rate_of_verdicts(own, others, margin)}
        else:
            say(f"comparing {users} pairs of dialogues")
            chances = judge.compare(held[0], held[1], servers)
            win_rates = {name: win_rate_of_judge(each) for name, each in chances.items()}
    return Judgement(win_rates, *figures)


def _hold(
    config: RunConfig, task: Task, replicas: Replicas, users: int, seed: int, judged: bool
) -> list[Dialogue]:
    with contextlib.closing(LocalRunners(config, task)) as runners:
        runners.connect(replicas)
        return collect_evaluation(runners, task, config, users, seed, judged=judged).dialogues


def _verdicts(dialogues: Sequence[Dialogue]) -> np.ndarray:
    return np.array([each.policy_turns[-1].rewards[TASK] for each in dialogues])
