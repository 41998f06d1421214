"""How many runs of a comparison a machine holds at once."""

from __future__ import annotations

import math

from curio_ray.config import RunConfig
from curio_ray.config.resources import DRIVER_CPUS, bundles
from curio_ray.plan import Plan
from curio_ray.plan.machine import Machine

_ROUNDING = 1e-9


def run_cpus(config: RunConfig) -> float:
    """Logical CPUs that one run asks Ray for."""
    return DRIVER_CPUS + sum(bundle.count * bundle.cpus for bundle in bundles(config))


def runs_at_once(plan: Plan, machine: Machine) -> int:
    """As many as fit by the plan's memory, logical CPUs and GPUs; at least one."""
    if plan.config.learner.port is not None:
        return 1
    cpus = plan.config.cluster.cpus or machine.cores
    limits = [
        machine.available_bytes // max(1, plan.memory_bytes),
        math.floor(cpus / run_cpus(plan.config) + _ROUNDING),
    ]
    if plan.gpus:
        limits.append(math.floor(machine.gpus / plan.gpus + _ROUNDING))
    return max(1, int(min(limits)))
