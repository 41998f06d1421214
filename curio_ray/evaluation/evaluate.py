"""`curio evaluate`: a checkpoint's policy with held-out users, without a learner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError
from curio_ray.evaluation.held_out import held_out_metrics, hold_out
from curio_ray.models.launch import start_servers
from curio_ray.ray_session import connect_to_ray
from curio_ray.rollout.local import LocalRunners
from curio_ray.run_folder.folder import CONFIG_FILE
from curio_ray.tasks.registry import make_task
from curio_ray.trainer import policy_folder


def evaluate_checkpoint(
    checkpoint: Path, users: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Success and beliefs of a checkpoint's policy.

    Args:
        checkpoint: a complete checkpoint's folder.
        users: how many held-out users; they are the run's.
        seed: of the sampling.
        say: told what is being waited for.

    Raises:
        ConfigError: there are fewer held-out users.
        RolloutError: a dialogue could not be held.
    """
    config = serving(load_config(checkpoint / CONFIG_FILE), policy_folder(checkpoint))
    task = make_task(config.task, config.seed)
    if users > len(task.users("held_out")):
        raise ConfigError(
            f"--users: the run has {len(task.users('held_out'))} held-out users; write at most that"
        )
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
    return {"checkpoint": str(checkpoint), "users": users, **held_out_metrics(dialogues)}


def serving(config: RunConfig, policy: Path) -> RunConfig:
    """The config with the policy's server serving the weights in a folder."""
    name = config.roles.policy.server
    server = config.servers[name].model_copy(update={"model": str(policy)})
    return config.model_copy(update={"servers": {**config.servers, name: server}})
