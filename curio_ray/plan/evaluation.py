"""Whether the models that only an evaluation asks can do what they are asked."""

from __future__ import annotations

from collections.abc import Iterator

from curio_ray.plan.context import longest_comparison, token_counter
from curio_ray.plan.plan import Plan
from curio_ray.plan.readers import too_long, user_model_problems


def evaluation_problems(plan: Plan) -> Iterator[str]:
    """One line per problem, each naming a field and what to write."""
    judge, second = plan.config.evaluation.judge, plan.config.evaluation.second_user_model
    if judge is not None:
        yield from _judge_problems(plan, judge.server)
    if second is not None:
        field = "evaluation.second_user_model"
        yield from user_model_problems(plan, field, second, second.servers)


def _judge_problems(plan: Plan, server: str) -> Iterator[str]:
    if not plan.task.comparison_prompts(plan.task.users("held_out")[0]):
        yield (
            f"evaluation.judge: the task '{plan.config.task.name}' does not tell how to compare "
            "dialogues; leave it out to compare by the reward model's verdicts"
        )
    elif count := token_counter(plan.models[server].folder):
        needed = longest_comparison(plan.task, plan.config.roles, count)
        yield from too_long(plan, server, "judge", needed)
