"""Whether readers answer with their labels at all: each is asked about real openings first.

A reading is renormalised over its labels. Where the model would say something else, what is left
is noise that looks like a belief.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from curio_ray.dialogue import User
from curio_ray.errors import ServerError
from curio_ray.roles.chat import ChatFormat, ModelFormat
from curio_ray.roles.labels import Reading
from curio_ray.roles.roles import RewardModel, RoleFormats
from curio_ray.roles.user_model import ReaderFormat, UserModelFormat
from curio_ray.serving.clients import SamplingClient
from curio_ray.serving.endpoint import EndpointClient
from curio_ray.serving.requests import ChatRequest, ChatResult, GenerateRequest, GenerateResult
from curio_ray.tasks.base import Task

CHECKED_USERS = 8
SHOWN_TOKENS = 5

_DIALOGUE = "check"

Question = Callable[[SamplingClient, User], Coroutine[Any, Any, Reading]]


@dataclass(frozen=True, slots=True)
class Reader:
    """A model in a reading role, and what it is asked about a user's opening words.

    `field` is the role's place in the config.
    """

    field: str
    server: str
    model: ModelFormat
    question: Question


class RememberingClient:
    """Passes requests on, and remembers the last one that asked for labels."""

    def __init__(self, client: SamplingClient) -> None:
        self._client = client
        self._request: GenerateRequest | None = None
        self._listed: list[tuple[str, float]] = []

    @property
    def outage_s(self) -> float:
        """That of the client."""
        return self._client.outage_s

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """The client's answer."""
        self._request = request
        return await self._client.generate(request, routing_key)

    async def chat(self, request: ChatRequest) -> ChatResult:
        """The endpoint's answer."""
        result = await cast(EndpointClient, self._client).chat(request)
        self._listed = result.likeliest or []
        return result

    async def close(self) -> None:
        """Whoever made the client closes it."""

    async def likeliest(self, model: ModelFormat) -> list[tuple[str, float]]:
        """What the model would rather have answered last: tokens with their log-probs."""
        if self._request is None or not isinstance(model, ChatFormat):
            return self._listed[:SHOWN_TOKENS]
        request = GenerateRequest(prompt_ids=self._request.prompt_ids, likeliest=SHOWN_TOKENS)
        found = (await self._client.generate(request, _DIALOGUE)).likeliest or []
        names = [(model.tokenizer.decode([token]), log_prob) for token, log_prob in found]
        return names[:SHOWN_TOKENS]


def check_label_mass(
    readers: Sequence[Reader],
    task: Task,
    connect: Callable[[str], SamplingClient],
    least: float | None,
) -> None:
    """Ask every reader about the first training users.

    Args:
        readers: those that will read.
        task: whose users.
        connect: makes a client of a server by its name.
        least: the mean label mass below which a reader is refused; None: nobody is asked.

    Raises:
        ServerError: readers answer with something else than their labels; a line for each names
            role, server, mass and the likeliest tokens.
    """
    if least is not None and readers:
        asyncio.run(_check(readers, list(task.users("train")[:CHECKED_USERS]), connect, least))


async def _check(
    readers: Sequence[Reader],
    users: Sequence[User],
    connect: Callable[[str], SamplingClient],
    least: float,
) -> None:
    clients = {name: connect(name) for name in {each.server for each in readers}}
    try:
        found = await asyncio.gather(
            *(_problem(each, users, clients[each.server], least) for each in readers)
        )
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()))
    problems = list(dict.fromkeys(each for each in found if each is not None))
    if problems:
        raise ServerError("a reader does not answer with its labels:\n  " + "\n  ".join(problems))


async def _problem(
    reader: Reader, users: Sequence[User], client: SamplingClient, least: float
) -> str | None:
    asked = [RememberingClient(client) for _ in users]
    readings = await asyncio.gather(
        *(reader.question(each, user) for each, user in zip(asked, users, strict=True))
    )
    mass = float(np.mean([each.mass for each in readings]))
    if mass >= least:
        return None
    likeliest = await asked[0].likeliest(reader.model)
    shown = ", ".join(f"{token!r} {np.exp(log_prob):.2g}" for token, log_prob in likeliest)
    return (
        f"{reader.field}: the labels have a probability of {mass:.2g} together on server "
        f"'{reader.server}', in the mean over the openings of {len(users)} users, where {least:g} "
        f"is the least (training.stops.label_mass); the likeliest tokens are {shown}. Give the "
        "task labels that the model says, such as letters, name a server of a model that follows "
        f"the question, or correct its chat template with servers.{reader.server}.chat_template or "
        "chat_template_kwargs"
    )


def role_readers(
    formats: RoleFormats, task: Task, reward_server: str, judged: bool, quality: Sequence[str]
) -> list[Reader]:
    """The readers of a run's roles; the reward model only for what it will be asked."""
    field = "roles.user_model"
    readers = list(user_model_readers(field, formats.user_model, formats.policy, task))

    def reward_reader(ask: Callable[[RewardModel, User], Coroutine[Any, Any, Reading]]) -> Reader:
        def question(client: SamplingClient, user: User) -> Coroutine[Any, Any, Reading]:
            return ask(RewardModel(client, formats.reward_model, task), user)

        return Reader("roles.reward_model", reward_server, formats.reward_model, question)

    def verdict(model: RewardModel, user: User) -> Coroutine[Any, Any, Reading]:
        session = model.session(user.at(0), _DIALOGUE)
        session.add("user", task.opening(user))
        session.add("policy", task.opening(user))
        return session.ask()

    def of_term(name: str) -> Callable[[RewardModel, User], Coroutine[Any, Any, Reading]]:
        def ask(model: RewardModel, user: User) -> Coroutine[Any, Any, Reading]:
            session = model.quality_sessions([name], _DIALOGUE)[name]
            session.add("user", task.opening(user))
            session.add("policy", task.opening(user))
            return session.ask()

        return ask

    if judged:
        readers.append(reward_reader(verdict))
    return readers + [reward_reader(of_term(name)) for name in quality]


def user_model_readers(
    field: str, user_model: UserModelFormat, policy: ChatFormat, task: Task
) -> Iterator[Reader]:
    """The readers of one user model: one for each server, and each order of the labels."""
    for server, each in user_model.readers:

        def question(
            client: SamplingClient, user: User, form: ReaderFormat = each
        ) -> Coroutine[Any, Any, Reading]:
            prompt_ids = policy.open(task.policy_prompt(user))
            return form.reader(client, _DIALOGUE, prompt_ids, task.opening(user)).ask()

        yield Reader(field, server, user_model.models[server], question)
