"""The environment: a model that plays the simulated user."""

from __future__ import annotations

from dataclasses import dataclass

from curio_ray.errors import RolloutError
from curio_ray.roles.chat import ChatFormat
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest
from curio_ray.tasks.base import Message


class EnvironmentSession:
    """A simulated user in one dialogue; its context only grows while its persona stays."""

    def __init__(
        self, model: EnvironmentModel, persona: str, opening: str, dialogue_id: str
    ) -> None:
        self._model = model
        self._persona = persona
        self._said = [Message("assistant", opening)]
        self._announcement = ""
        self._dialogue_id = dialogue_id
        self._context: list[int] = []
        self._last_reply: list[int] = []

    def become(self, persona: str, announcement: str = "") -> None:
        """Be someone else from the next reply on, which begins with `announcement`.

        What was said stays; the context is opened anew with the new persona before it.
        """
        self._persona, self._announcement = persona, announcement
        self._context = []

    async def reply(self, utterance: str, seed: int) -> str:
        """What the user answers.

        Raises:
            RolloutError: the environment model said nothing.
        """
        chat = self._model.chat
        self._said.append(Message("user", utterance))
        if self._context:
            self._context.extend(chat.reply_suffix(self._last_reply, utterance))
        else:
            self._context = chat.open([Message("system", self._persona), *self._said])
        self._context.extend(chat.encode(self._announcement))
        request = GenerateRequest(
            prompt_ids=list(self._context),
            max_tokens=self._model.max_tokens,
            temperature=self._model.temperature,
            stop_token_ids=chat.stop_token_ids,
            seed=seed,
        )
        result = await self._model.client.generate(request, routing_key=self._dialogue_id)
        text = f"{self._announcement} {chat.decode(result.token_ids)}".strip()
        if not text:
            raise RolloutError("the environment model answered with empty text")
        self._last_reply = result.token_ids
        self._context.extend(result.token_ids)
        self._said.append(Message("assistant", text))
        self._announcement = ""
        return text


@dataclass(frozen=True, slots=True)
class EnvironmentModel:
    """The model that plays the user."""

    client: ServerClient
    chat: ChatFormat
    max_tokens: int
    temperature: float

    def session(self, persona: str, opening: str, dialogue_id: str) -> EnvironmentSession:
        """Begin a dialogue as the user whom `persona` describes."""
        return EnvironmentSession(self, persona, opening, dialogue_id)
