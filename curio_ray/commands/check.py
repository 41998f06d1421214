"""What every command that starts a run finds out first; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

from curio_ray.config import RunConfig
from curio_ray.errors import ConfigError
from curio_ray.plan import Plan, check_plan, make_plan, read_machine
from curio_ray.plan.check import check_models_are_here
from curio_ray.preflight import check_preflight
from curio_ray.tasks.base import Split


def check_config(config: RunConfig, output: Path | None) -> Plan:
    """The plan of a run that this machine can hold; `output` is None where nothing is written.

    Raises:
        CurioError: it cannot work; the message names the fields.
    """
    plan = make_plan(config)
    check_plan(plan, read_machine())
    check_models_are_here(plan)
    check_preflight(plan, output)
    return plan


def count_users(plan: Plan, split: Split, asked: int | None) -> int:
    """How many users of a split to talk with: as many as asked for, or as the config says.

    Raises:
        ConfigError: the split has fewer.
    """
    available = len(plan.task.users(split))
    if asked is not None and asked > available:
        raise ConfigError(
            f"--users: the run has {available} {split.replace('_', '-')} users; write at most that"
        )
    return min(plan.config.evaluation.users, available) if asked is None else asked
