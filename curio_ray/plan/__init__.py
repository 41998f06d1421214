"""What a run will need, worked out from its config without starting anything."""

from curio_ray.plan.check import check_plan
from curio_ray.plan.machine import Machine, read_machine
from curio_ray.plan.plan import Plan, make_plan

__all__ = ["Machine", "Plan", "check_plan", "make_plan", "read_machine"]
