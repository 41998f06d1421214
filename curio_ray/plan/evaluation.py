"""Whether the models that only an evaluation asks can do what they are asked."""

from __future__ import annotations

from collections.abc import Iterator

from curio_ray.plan.context import CountTokens, longest_comparison, longest_context, token_counter
from curio_ray.plan.plan import Plan


def evaluation_problems(plan: Plan) -> Iterator[str]:
    """One line per problem, each naming a field and what to write."""
    judge, second = plan.config.evaluation.judge, plan.config.evaluation.second_user_model
    if judge is not None:
        yield from _judge_problems(plan, judge.server)
    if second is not None:
        role = "policy" if second.reads == "policy_context" else "user_model"
        for server in second.servers:
            if count := _counter(plan, server):
                needed = longest_context(role, plan.task, plan.config.roles, count)
                yield from _too_long(plan, server, "second user model", needed)


def _judge_problems(plan: Plan, server: str) -> Iterator[str]:
    if not plan.task.comparison_prompts(plan.task.users("held_out")[0]):
        yield (
            f"evaluation.judge: the task '{plan.config.task.name}' does not tell how to compare "
            "dialogues; leave it out to compare by the reward model's verdicts"
        )
    elif count := _counter(plan, server):
        needed = longest_comparison(plan.task, plan.config.roles, count)
        yield from _too_long(plan, server, "judge", needed)


def _counter(plan: Plan, server: str) -> CountTokens | None:
    return token_counter(plan.models[server].folder)


def _too_long(plan: Plan, server: str, reader: str, needed: int) -> Iterator[str]:
    allowed = plan.config.servers[server].max_model_len
    if needed > allowed:
        yield (
            f"servers.{server}.max_model_len: the {reader}'s longest context can take {needed} "
            f"tokens; write {needed} or more instead of {allowed}, or lower "
            "roles.policy.max_tokens and roles.environment.max_tokens"
        )
