"""Whether endpoints can do what their roles ask: each is asked once before the first dialogue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping

from curio_ray.config import RunConfig
from curio_ray.errors import CurioError, ServerError
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.roles.roles import RewardModel, RoleFormats
from curio_ray.serving.endpoint import EndpointClient
from curio_ray.tasks.base import Task

_DIALOGUE = "check"


def check_endpoint_roles(config: RunConfig, formats: RoleFormats, task: Task) -> None:
    """Ask each role behind a URL once, about the first training user.

    Raises:
        ServerError: an endpoint cannot do what its role needs; the message names the role.
    """
    if config.endpoints:
        asyncio.run(_ask_all(config, formats, task))


async def _ask_all(config: RunConfig, formats: RoleFormats, task: Task) -> None:
    clients = {
        name: EndpointClient(name, endpoint, endpoint.max_in_flight)
        for name, endpoint in config.endpoints.items()
    }
    try:
        questions = _questions(config, formats, task, clients)
        await asyncio.gather(*(_ask(role, question) for role, question in questions))
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()))


def _questions(
    config: RunConfig, formats: RoleFormats, task: Task, clients: Mapping[str, EndpointClient]
) -> Iterator[tuple[str, Awaitable[object]]]:
    roles, user = config.roles, task.users("train")[0]
    opening, environment = task.opening(user), roles.environment
    if environment.server in clients:
        player = EnvironmentModel(clients[environment.server], formats.environment, environment)
        session = player.session(task.environment_prompt(user.at(0)), opening, _DIALOGUE)
        yield "environment", session.reply(opening, seed=0)
    for name, form in formats.user_model.readers:
        if name in clients:
            yield "user_model", form.reader(clients[name], _DIALOGUE, [], opening).ask()
    if roles.reward_model.server in clients:
        judge = RewardModel(clients[roles.reward_model.server], formats.reward_model, task)
        reading = judge.session(user.at(0), _DIALOGUE)
        reading.add("user", opening)
        reading.add("policy", opening)
        yield "reward_model", reading.ask()


async def _ask(role: str, question: Awaitable[object]) -> None:
    try:
        await question
    except CurioError as error:
        raise ServerError(f"roles.{role}: {error}") from error
