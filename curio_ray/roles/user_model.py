"""The user model: one model or several that follow a dialogue and believe something of the user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from curio_ray.config.servers import UserModelRole
from curio_ray.dialogue import Turn
from curio_ray.errors import TemplateError
from curio_ray.roles.beliefs import at_temperature, average, belief_over_types, label_orders
from curio_ray.roles.chat import ChatFormat, ModelFormat
from curio_ray.roles.labels import LabelTokens, Reading, label_tokens, read_labels
from curio_ray.roles.reading import (
    MessageReadingFormat,
    ReadingFormat,
    ReadingSession,
    reading_format,
)
from curio_ray.tasks.base import Task

if TYPE_CHECKING:
    from curio_ray.serving.clients import SamplingClient


class BeliefReader(Protocol):
    """One reading of one dialogue by one model."""

    def add(self, turn: Turn) -> None:
        """Follow the dialogue by a turn."""

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """The belief [user types] after the turns until now."""


class ReaderFormat(Protocol):
    """What a reading needs of one model, whatever the dialogue."""

    def reader(
        self, client: SamplingClient, dialogue_id: str, prompt_ids: list[int], opening: str
    ) -> BeliefReader:
        """Begin to follow a dialogue at the user's opening words."""


class TranscriptReader:
    """Reads the dialogue as text, with the types' labels in one order."""

    def __init__(self, session: ReadingSession, order: tuple[int, ...], hears_policy: bool) -> None:
        self._session = session
        self._order = order
        self._hears_policy = hears_policy

    def add(self, turn: Turn) -> None:
        """Add a turn to the transcript, unless it is the policy's and those are left out."""
        if turn.speaker == "user" or self._hears_policy:
            self._session.add(turn.speaker, turn.text)

    async def _belief(self, answer: Coroutine[Any, Any, Reading]) -> Reading:
        reading = await answer
        belief = belief_over_types(reading.probabilities, self._order)
        return Reading(belief, reading.mass)

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """The belief [user types] after the transcript until now."""
        return self._belief(self._session.ask())


@dataclass(frozen=True, slots=True)
class TranscriptFormat:
    """A reading prompt with the labels in one order, as one model takes it."""

    reading: ReadingFormat | MessageReadingFormat
    order: tuple[int, ...]
    hears_policy: bool

    def reader(
        self, client: SamplingClient, dialogue_id: str, prompt_ids: list[int], opening: str
    ) -> TranscriptReader:
        """Begin a transcript with the user's opening words."""
        session = self.reading.session(client, dialogue_id)
        session.add("user", opening)
        return TranscriptReader(session, self.order, self.hears_policy)


class PolicyContextReader:
    """Reads the policy's own context, as if the policy now named the user's type.

    After the policy's words alone the user is given an empty reply, so that the policy's turn
    comes again and nothing else does.
    """

    def __init__(
        self,
        client: SamplingClient,
        answer: PolicyContextFormat,
        prompt_ids: list[int],
        dialogue_id: str,
    ) -> None:
        self._client = client
        self._answer = answer
        self._dialogue_id = dialogue_id
        self._context = list(prompt_ids)
        self._empty_reply: list[int] = []

    def add(self, turn: Turn) -> None:
        """Extend the context by the turn's own token ids; marks within the policy's are left out.

        A policy may sample the very marks that open a turn of the user.
        """
        chat, ids, spoke = self._answer.chat, turn.token_ids, turn.speaker == "policy"
        if spoke:
            end = ids[-1:] if ids[-1] in chat.stop_token_ids else []
            said = ids[: len(ids) - len(end)]
            ids = [*(each for each in said if each not in chat.control_ids), *end]
        self._context.extend(ids)
        self._empty_reply = chat.reply_suffix(ids, "") if spoke else []

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """The belief [user types] in the policy's next words."""
        prompt_ids = [*self._context, *self._empty_reply, *self._answer.labels.before]
        return read_labels(self._client, prompt_ids, self._answer.labels, self._dialogue_id)


@dataclass(frozen=True, slots=True)
class PolicyContextFormat:
    """The beginning of the policy's answer and the labels behind it, in the policy's tokens."""

    chat: ChatFormat
    labels: LabelTokens

    def reader(
        self, client: SamplingClient, dialogue_id: str, prompt_ids: list[int], opening: str
    ) -> PolicyContextReader:
        """Begin with the policy's prompt, which ends with the user's opening words."""
        return PolicyContextReader(client, self, prompt_ids, dialogue_id)


class UserModelSession:
    """Every model's reading of one dialogue; the belief is their mean, the mass the smallest."""

    def __init__(self, readers: list[BeliefReader], temperature: float) -> None:
        self._readers = readers
        self._temperature = temperature

    def add(self, turn: Turn) -> None:
        """Follow the dialogue by a turn."""
        for reader in self._readers:
            reader.add(turn)

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """The belief [user types] after the turns until now."""
        return self._pool([reader.ask() for reader in self._readers])

    async def _pool(self, answers: list[Coroutine[Any, Any, Reading]]) -> Reading:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer) for answer in answers]
        readings = [each.result() for each in tasks]
        pooled = average([each.probabilities for each in readings])
        belief = at_temperature(pooled, self._temperature)
        return Reading(belief, min(each.mass for each in readings))


@dataclass(frozen=True, slots=True)
class UserModel:
    """The models that guess the user's hidden type, each with the format of its reading."""

    models: tuple[tuple[SamplingClient, ReaderFormat], ...]
    temperature: float

    def session(self, dialogue_id: str, prompt_ids: list[int], opening: str) -> UserModelSession:
        """Begin to read a dialogue.

        Args:
            dialogue_id: keeps a dialogue's readings on one replica.
            prompt_ids: the policy's context before its first turn.
            opening: the user's first words.
        """
        readers: list[BeliefReader] = [
            form.reader(client, dialogue_id, prompt_ids, opening) for client, form in self.models
        ]
        return UserModelSession(readers, self.temperature)


class UserModelFormat:
    """The prompts of a user model's role as each of its models takes them.

    `load` gives the format of a server's model, by the server's name. `field` is the role's place
    in the config, for errors. `readers` are the formats with their servers' names, `models` how the
    model of each server is asked.

    Raises:
        TemplateError: a model cannot tell the labels apart, or is to read the policy's context
            and has another tokenizer.
    """

    def __init__(
        self,
        role: UserModelRole,
        task: Task,
        load: Callable[[str], ModelFormat],
        policy: ChatFormat,
        field: str = "roles.user_model",
    ) -> None:
        self._temperature = role.temperature
        self.readers: list[tuple[str, ReaderFormat]] = []
        self.models = {name: load(name) for name in role.servers}
        for name, model in self.models.items():
            formats = reader_formats(role, task, model, policy, field)
            self.readers += [(name, each) for each in formats]

    def connect(self, clients: Mapping[str, SamplingClient]) -> UserModel:
        """Join each format with a client of its server."""
        models = tuple((clients[name], each) for name, each in self.readers)
        return UserModel(models, self._temperature)


def reader_formats(
    role: UserModelRole, task: Task, model: ModelFormat, policy: ChatFormat, field: str
) -> list[TranscriptFormat] | list[PolicyContextFormat]:
    """What one model reads in a user model's role, one format for each order of the labels.

    Raises:
        TemplateError: it cannot tell the labels apart, or not read the policy's context.
    """
    if role.reads == "policy_context":
        return [_context_format(task, model, policy, field)]
    return _transcript_formats(role, task, model, field)


def _transcript_formats(
    role: UserModelRole, task: Task, model: ModelFormat, field: str
) -> list[TranscriptFormat]:
    hears_policy = role.hears == "dialogue"
    own, *others = label_orders(len(task.user_types), role.label_orders)
    prompts = [(own, task.user_model_prompt())]
    for order in others:
        prompt = task.user_model_prompt_in_order(order)
        if prompt is None:
            raise TemplateError(
                f"{field}.label_orders: the task lists its labels in one order only; write 1"
            )
        prompts.append((order, prompt))
    return [
        TranscriptFormat(reading_format(model, prompt, task.spoken), order, hears_policy)
        for order, prompt in prompts
    ]


def _context_format(
    task: Task, chat: ModelFormat, policy: ChatFormat, field: str
) -> PolicyContextFormat:
    assert isinstance(chat, ChatFormat), "the config keeps endpoints from the policy's context"
    answer = task.policy_answer()
    if answer is None:
        raise TemplateError(
            f"{field}.reads: the task does not tell how the policy would name the user's type; "
            "write transcript"
        )
    same = chat is policy or chat.tokenizer.get_vocab() == policy.tokenizer.get_vocab()
    if not same:
        raise TemplateError(
            f"{field}.reads: {chat.model} has another tokenizer than {policy.model} and "
            "cannot read the policy's context; write transcript, or a server of a model with the "
            "policy's tokenizer"
        )
    labels = label_tokens(chat, answer.start, answer.labels)
    return PolicyContextFormat(chat, labels)
