"""The four roles: typed questions to model servers, typed answers back."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import numpy as np

from curio_ray.config.servers import RolesConfig, ServerConfig
from curio_ray.dialogue import Speaker, User
from curio_ray.errors import RolloutError
from curio_ray.models.chat import ChatFormat
from curio_ray.models.client import ServerClient
from curio_ray.models.environment import EnvironmentModel
from curio_ray.models.reading import ReadingFormat
from curio_ray.models.requests import GenerateRequest, GenerateResult
from curio_ray.tasks.base import Message, Task


@dataclass(frozen=True, slots=True)
class PolicyModel:
    """The model that learns: it continues a dialogue and keeps its sampled ids."""

    client: ServerClient
    chat: ChatFormat
    max_tokens: int

    async def speak(
        self, context: list[int], dialogue_id: str, seed: int, temperature: float
    ) -> GenerateResult:
        """Sample the next utterance after a context of token ids."""
        request = GenerateRequest(
            prompt_ids=context,
            max_tokens=self.max_tokens,
            temperature=temperature,
            stop_token_ids=self.chat.stop_token_ids,
            seed=seed,
        )
        return await self.client.generate(request, routing_key=dialogue_id)


class ReadingSession:
    """A model that listens to one dialogue and can be asked its question at any moment."""

    def __init__(self, client: ServerClient, reading: ReadingFormat, dialogue_id: str) -> None:
        self._client = client
        self._reading = reading
        self._dialogue_id = dialogue_id
        self._transcript = list(reading.start_ids)

    def hear(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""
        self._transcript.extend(self._reading.utterance(speaker, text))

    def ask(self) -> Awaitable[np.ndarray]:
        """The distribution over the labels [labels] after what was heard until now."""
        request = GenerateRequest(
            prompt_ids=[*self._transcript, *self._reading.question_ids],
            label_ids=self._reading.label_ids,
        )
        return self._answer(request)

    async def _answer(self, request: GenerateRequest) -> np.ndarray:
        result = await self._client.generate(request, routing_key=self._dialogue_id)
        if result.label_log_probs is None or not np.all(np.isfinite(result.label_log_probs)):
            raise RolloutError(f"the labels' log-probs are not finite: {result.label_log_probs}")
        log_probs = np.asarray(result.label_log_probs, dtype=np.float64)
        weights = np.exp(log_probs - log_probs.max())
        return weights / weights.sum()


@dataclass(frozen=True, slots=True)
class UserModel:
    """The model that guesses the user's hidden type."""

    client: ServerClient
    reading: ReadingFormat

    def session(self, dialogue_id: str) -> ReadingSession:
        """Begin to listen to a dialogue."""
        return ReadingSession(self.client, self.reading, dialogue_id)


@dataclass(frozen=True, slots=True)
class RewardModel:
    """The model that judges finished dialogues."""

    client: ServerClient
    chat: ChatFormat
    task: Task

    def session(self, user: User, dialogue_id: str) -> ReadingSession:
        """Begin to listen to a dialogue with this user; label 1 means success."""
        reading = ReadingFormat(self.chat, self.task.reward_model_prompt(user))
        return ReadingSession(self.client, reading, dialogue_id)


@dataclass(frozen=True, slots=True)
class Roles:
    """All roles of a run."""

    policy: PolicyModel
    environment: EnvironmentModel
    user_model: UserModel
    reward_model: RewardModel


class RoleFormats:
    """The chat formats of all roles' models; built and verified before any server is asked.

    Raises:
        TemplateError: a model's chat template cannot be extended token by token.
    """

    def __init__(self, roles: RolesConfig, servers: Mapping[str, ServerConfig], task: Task) -> None:
        formats: dict[str, ChatFormat] = {}
        for role in (roles.policy, roles.environment, roles.user_model, roles.reward_model):
            model = servers[role.server].model
            formats.setdefault(model, ChatFormat.load(model))
        self.policy = formats[servers[roles.policy.server].model]
        self.environment = formats[servers[roles.environment.server].model]
        self.user_model = formats[servers[roles.user_model.server].model]
        self.reward_model = formats[servers[roles.reward_model.server].model]
        self.belief = ReadingFormat(self.user_model, task.user_model_prompt())
        self._verify(task)

    def _verify(self, task: Task) -> None:
        user = task.users("train")[0]
        opening = task.opening(user)
        exchanges = [(opening, opening)] * 2
        self.policy.verify(task.policy_prompt(user), exchanges)
        persona = [
            Message("system", task.environment_prompt(user)),
            Message("assistant", opening),
            Message("user", opening),
        ]
        self.environment.verify(persona, exchanges)


def connect_roles(
    roles: RolesConfig, formats: RoleFormats, clients: Mapping[str, ServerClient], task: Task
) -> Roles:
    """Join each role's format with a client of the server that plays it."""
    return Roles(
        policy=PolicyModel(clients[roles.policy.server], formats.policy, roles.policy.max_tokens),
        environment=EnvironmentModel(
            clients[roles.environment.server],
            formats.environment,
            roles.environment.max_tokens,
            roles.environment.temperature,
        ),
        user_model=UserModel(clients[roles.user_model.server], formats.belief),
        reward_model=RewardModel(clients[roles.reward_model.server], formats.reward_model, task),
    )
