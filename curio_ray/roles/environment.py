"""The environment: a model that plays the simulated user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

from curio_ray.config.servers import EnvironmentRole
from curio_ray.dialogue import SILENCE
from curio_ray.roles.chat import ChatFormat, MessageFormat, ModelFormat, without_thought
from curio_ray.roles.content import plain_messages
from curio_ray.serving.clients import SamplingClient
from curio_ray.serving.endpoint import EndpointClient
from curio_ray.serving.requests import ChatRequest, GenerateRequest
from curio_ray.tasks.base import Message


@dataclass(frozen=True, slots=True)
class Reply:
    """What a user answered, and why the model ended; `empty` where it said nothing.

    `text` is `SILENCE` then, so that whoever hears the dialogue hears a turn.
    """

    text: str
    finish_reason: str | None = None
    empty: bool = False


class EnvironmentSession(ABC):
    """A simulated user in one dialogue."""

    def __init__(self, model: EnvironmentModel, persona: str, opening: str) -> None:
        self._model = model
        self._persona = persona
        self._said = [Message("assistant", opening)]
        self._announcement = ""

    def become(self, persona: str, announcement: str = "") -> None:
        """Be someone else from the next reply on, which begins with `announcement`.

        What was said stays, behind the new persona.
        """
        self._persona, self._announcement = persona, announcement

    async def reply(self, utterance: str, seed: int) -> Reply:
        """What the user answers."""
        self._said.append(Message("user", utterance))
        answer, finish_reason = await self._answer(utterance, seed)
        text = f"{self._announcement} {answer}".strip()
        self._said.append(Message("assistant", text or SILENCE))
        self._announcement = ""
        return Reply(text or SILENCE, finish_reason, empty=not text)

    @abstractmethod
    async def _answer(self, utterance: str, seed: int) -> tuple[str, str | None]:
        """What the model says behind the announcement, and why it ended.

        `utterance` is the last thing said.
        """


class TokenEnvironmentSession(EnvironmentSession):
    """Asked in token ids; the context only grows while the persona stays."""

    def __init__(
        self,
        model: EnvironmentModel,
        chat: ChatFormat,
        persona: str,
        opening: str,
        dialogue_id: str,
    ) -> None:
        super().__init__(model, persona, opening)
        self._chat = chat
        self._dialogue_id = dialogue_id
        self._context: list[int] = []
        self._last_reply: list[int] = []

    def become(self, persona: str, announcement: str = "") -> None:
        """Be someone else; the context is opened anew with the new persona before it."""
        super().become(persona, announcement)
        self._context = []

    async def _answer(self, utterance: str, seed: int) -> tuple[str, str | None]:
        chat = self._chat
        if self._context:
            self._context.extend(chat.reply_suffix(self._last_reply, utterance))
        else:
            self._context = chat.open([Message("system", self._persona), *self._said])
        self._context.extend(chat.encode(self._announcement))
        request = GenerateRequest(
            prompt_ids=list(self._context),
            stop_token_ids=chat.stop_token_ids,
            seed=seed,
            **self._model.sampling,
        )
        result = await self._model.client.generate(request, routing_key=self._dialogue_id)
        self._last_reply = result.token_ids
        self._context.extend(result.token_ids)
        return chat.decode(result.token_ids), result.finish_reason


class MessageEnvironmentSession(EnvironmentSession):
    """Asked in messages, each time with all that was said."""

    async def _answer(self, utterance: str, seed: int) -> tuple[str, str | None]:
        chat = [Message("system", self._persona), *self._said]
        request = ChatRequest(
            plain_messages(chat),
            seed=seed,
            **self._model.sampling,
        )
        result = await cast(EndpointClient, self._model.client).chat(request)
        return without_thought(result.text).strip(), result.finish_reason


@dataclass(frozen=True, slots=True)
class EnvironmentModel:
    """The model that plays the user."""

    client: SamplingClient
    form: ModelFormat
    role: EnvironmentRole

    @property
    def sampling(self) -> dict[str, Any]:
        """How its words are sampled, as requests take it."""
        return self.role.model_dump(exclude={"server"})

    def session(self, persona: str, opening: str, dialogue_id: str) -> EnvironmentSession:
        """Begin a dialogue as the user whom `persona` describes."""
        if isinstance(self.form, MessageFormat):
            return MessageEnvironmentSession(self, persona, opening)
        return TokenEnvironmentSession(self, self.form, persona, opening, dialogue_id)
