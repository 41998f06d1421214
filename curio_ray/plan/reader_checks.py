"""Whether the models that read dialogues, in training or in an evaluation, can do what is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from curio_ray.config.servers import UserModelRole
from curio_ray.dialogue import User
from curio_ray.plan.context import (
    everyone,
    longest_comparison,
    longest_context,
    token_counter,
)
from curio_ray.plan.plan import Plan, name_users


def user_model_problems(
    plan: Plan, field: str, role: UserModelRole, servers: Iterable[str]
) -> Iterator[str]:
    """What the task does not tell a user model, and contexts that its servers cannot hold.

    Args:
        plan: of the run.
        field: where the config has the role.
        role: the user model.
        servers: those of its servers whose contexts are looked at.
    """
    name, types = plan.config.task.name, len(plan.task.user_types)
    if role.label_orders > 1 and plan.task.user_model_prompt_in_order(range(types)) is None:
        yield (
            f"{field}.label_orders: the task '{name}' does not list its labels, or in one order "
            "only; write 1"
        )
    elif role.label_orders > math.factorial(types):
        yield f"{field}.label_orders: {types} labels have {math.factorial(types)} orders"
    if role.reads == "policy_context" and plan.task.policy_answer() is None:
        yield (
            f"{field}.reads: the task '{name}' does not tell how the policy would name the user's "
            "type; write transcript"
        )
    for server in servers:
        if count := token_counter(plan.tokenizer_folder(server)):
            read = "policy" if role.reads == "policy_context" else "user_model"
            longest = longest_context(
                read, plan.task, plan.config.roles, count, _allowed(plan, server)
            )
            reader = field.rpartition(".")[2].replace("_", " ")
            yield from too_long(plan, server, reader, longest.tokens, longest.too_long)


def too_long(
    plan: Plan, server: str, reader: str, needed: int, users: Sequence[User]
) -> Iterator[str]:
    """What to write where a reader's longest context exceeds its server's; endpoints tell none.

    `users` are those with whom it does.
    """
    allowed = _allowed(plan, server)
    if allowed is not None and needed > allowed:
        some = len(users) < sum(1 for _ in everyone(plan.task))
        whose = f", as with {name_users(users, plan.task)}" if users and some else ""
        yield (
            f"servers.{server}.max_model_len: the {reader}'s longest context can take {needed} "
            f"tokens{whose}; write {needed} or more instead of {allowed}, or lower "
            "roles.policy.max_tokens and roles.environment.max_tokens"
        )


def _allowed(plan: Plan, server: str) -> int | None:
    own = plan.config.own_servers.get(server)
    return None if own is None else own.max_model_len


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
    elif count := token_counter(plan.tokenizer_folder(server)):
        allowed = _allowed(plan, server)
        longest = longest_comparison(plan.task, plan.config.roles, count, allowed)
        yield from too_long(plan, server, "judge", longest.tokens, longest.too_long)
