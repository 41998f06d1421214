"""`curio evaluate`: a policy with held-out users, without a learner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import ray

from curio_ray.config import RunConfig
from curio_ray.evaluation.held_out import held_out_metrics, hold_out
from curio_ray.models.launch import start_servers
from curio_ray.ray_session import connect_to_ray
from curio_ray.rollout.local import LocalRunners
from curio_ray.tasks.registry import make_task


def evaluate_policy(
    config: RunConfig, users: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """What `held_out_metrics` tells of the policy that the config serves.

    Args:
        config: a run's, with a trained policy as the model of the policy's server.
        users: how many of the run's held-out users.
        seed: of the sampling and of the bootstrap.
        say: told what is being waited for.

    Raises:
        RolloutError: a dialogue could not be held.
    """
    task = make_task(config.task, config.seed)
    say("starting Ray and the servers")
    connect_to_ray(config)
    with contextlib.ExitStack() as stack:
        stack.callback(ray.shutdown)
        servers = start_servers(config)
        stack.callback(servers.shutdown)
        runners = LocalRunners(config, task)
        stack.callback(runners.close)
        servers.wait_ready()
        runners.connect(servers.handles())
        say(f"holding {users} dialogues")
        dialogues = hold_out(runners, task, config, users, seed).dialogues
    return dict(held_out_metrics(dialogues, task, config.evaluation.alarms, seed))
