"""`curio evaluate`: a policy with users of a split, without a learner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import ray

from curio_ray.config import RunConfig
from curio_ray.evaluation.collect import collect_evaluation, evaluation_options, is_judged
from curio_ray.evaluation.course import Standing
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.evaluation.reader_check import check_readers
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.rollout.runner import LocalRunners
from curio_ray.serving.launch import start_servers
from curio_ray.tasks.base import Split
from curio_ray.tasks.registry import make_task


def evaluate_policy(
    config: RunConfig,
    split: Split,
    users: int,
    seed: int,
    say: Callable[[str], None],
    start: Standing | None = None,
) -> dict[str, Any]:
    """What `evaluation_metrics` tells of the policy that the config serves.

    Args:
        config: a run's, with a trained policy as the model of the policy's server.
        split: whose users.
        users: how many of them.
        seed: of the sampling and of the bootstrap.
        say: told what is being waited for.
        start: where the run's start policy stood, if that is to be compared with.

    Raises:
        RolloutError: no dialogue could be held.
    """
    task = make_task(config.task, config.seed)
    say("starting Ray and the servers")
    connect_to_ray(config)
    with contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        servers = start_servers(config, learning=False)
        stack.callback(servers.shutdown)
        second = make_second_user_model(config, task)
        runners = LocalRunners(config, task)
        stack.callback(runners.close)
        servers.wait_ready()
        check_readers(
            config, task, runners.formats, servers, [evaluation_options(task, config)], second
        )
        runners.connect(servers.handles())
        say(f"holding {users} dialogues")
        held = collect_evaluation(runners, task, config, users, seed, split)
        reread = None
        if second is not None:
            say("reading the dialogues again")
            reread = second.read(held.dialogues, servers)
    alarms = config.evaluation.alarms
    return dict(
        evaluation_metrics(
            held.dialogues, task, alarms, seed, split, reread, held.failures,
            is_judged(config), start,
        )
    )  # fmt: skip
