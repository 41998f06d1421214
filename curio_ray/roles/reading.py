"""Prompts for a model that reads a growing transcript and answers with one label.

The stable part comes first, new utterances next and the short question last, so that each
question finds everything before the new words in the prefix cache. A model that is asked in token
ids tells the log-probs of the labels' first tokens; an endpoint that is asked in messages tells the
most likely beginnings of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from curio_ray.dialogue import Speaker
from curio_ray.errors import RolloutError, TemplateError
from curio_ray.roles.chat import ChatFormat, MessageFormat, ModelFormat
from curio_ray.roles.content import plain_messages
from curio_ray.roles.transcript import Transcript
from curio_ray.serving.clients import SamplingClient
from curio_ray.serving.endpoint import EndpointClient
from curio_ray.serving.requests import ChatRequest, GenerateRequest
from curio_ray.tasks.base import Message, ReadingPrompt


class ReadingSession(Protocol):
    """A model that reads one dialogue and can be asked its question at any moment."""

    def add(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""

    def ask(self) -> Coroutine[Any, Any, np.ndarray]:
        """The distribution over the labels [labels] after what was said until now."""


class ReadingFormat:
    """A `ReadingPrompt` in the token ids of one model; `spoken` is the task's.

    Raises:
        TemplateError: two labels begin with the same token.
    """

    def __init__(
        self, chat: ChatFormat, prompt: ReadingPrompt, spoken: Callable[[str], str] | None = None
    ) -> None:
        self._chat = chat
        self._transcript = Transcript(prompt.policy_name, prompt.user_name, spoken)
        labels = label_tokens(chat, "", prompt.labels)
        self.start_ids = chat.begin_message(f"{prompt.instruction.strip()}\n")
        self.lead_ids = labels.before
        self.question_ids = [*chat.end_message(prompt.question.strip()), *self.lead_ids]
        self.label_ids = labels.first

    def utterance(self, speaker: Speaker, text: str) -> list[int]:
        """The ids that one utterance adds to the transcript."""
        return self._chat.add_line(f"{self._transcript.line(speaker, text)}\n")

    def session(self, client: SamplingClient, dialogue_id: str) -> ReadingSession:
        """Begin to read a dialogue."""
        return TokenReadingSession(client, self, dialogue_id)


class TokenReadingSession:
    """A transcript in token ids that only grow."""

    def __init__(self, client: SamplingClient, reading: ReadingFormat, dialogue_id: str) -> None:
        self._client = client
        self._reading = reading
        self._dialogue_id = dialogue_id
        self._transcript = list(reading.start_ids)

    def add(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""
        self._transcript.extend(self._reading.utterance(speaker, text))

    def ask(self) -> Coroutine[Any, Any, np.ndarray]:
        """The distribution over the labels [labels] after what was said until now."""
        prompt_ids = [*self._transcript, *self._reading.question_ids]
        return read_labels(self._client, prompt_ids, self._reading.label_ids, self._dialogue_id)


class MessageReadingFormat:
    """A `ReadingPrompt` as the text of one message, for an endpoint."""

    def __init__(self, prompt: ReadingPrompt, spoken: Callable[[str], str] | None = None) -> None:
        self.prompt = prompt
        self._transcript = Transcript(prompt.policy_name, prompt.user_name, spoken)

    def utterance(self, speaker: Speaker, text: str) -> str:
        """The line that one utterance adds to the transcript."""
        return f"{self._transcript.line(speaker, text)}\n"

    def session(self, client: SamplingClient, dialogue_id: str) -> ReadingSession:
        """Begin to read a dialogue."""
        return MessageReadingSession(cast(EndpointClient, client), self)


class MessageReadingSession:
    """A transcript as text that only grows."""

    def __init__(self, client: EndpointClient, reading: MessageReadingFormat) -> None:
        self._client = client
        self._reading = reading
        self._transcript = f"{reading.prompt.instruction}\n"

    def add(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""
        self._transcript += self._reading.utterance(speaker, text)

    def ask(self) -> Coroutine[Any, Any, np.ndarray]:
        """The distribution over the labels [labels] after what was said until now."""
        prompt = self._reading.prompt
        return read_labels_of_message(
            self._client, self._transcript + prompt.question, prompt.labels
        )


def reading_format(
    model: ModelFormat, prompt: ReadingPrompt, spoken: Callable[[str], str]
) -> ReadingFormat | MessageReadingFormat:
    """A reading prompt as a model takes it; `spoken` is the task's.

    Raises:
        TemplateError: two labels begin with the same token.
    """
    if isinstance(model, MessageFormat):
        return MessageReadingFormat(prompt, spoken)
    return ReadingFormat(model, prompt, spoken)


class LabelQuestion:
    """A whole user message that one model answers with one of some labels.

    Raises:
        TemplateError: two labels begin with the same token.
    """

    def __init__(self, model: ModelFormat, labels: tuple[str, ...]) -> None:
        self._model = model
        self._labels = labels
        self._tokens = LabelTokens([], ())
        if isinstance(model, ChatFormat):
            self._tokens = label_tokens(model, "", labels)

    def ask(
        self, client: SamplingClient, text: str, routing_key: str
    ) -> Coroutine[Any, Any, np.ndarray]:
        """The distribution over the labels [labels] behind a text."""
        if isinstance(self._model, MessageFormat):
            return read_labels_of_message(cast(EndpointClient, client), text, self._labels)
        prompt_ids = [*self._model.open([Message("user", text)]), *self._tokens.before]
        return read_labels(client, prompt_ids, self._tokens.first, routing_key)


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """What goes between a prompt's opening and a label, and the first token of each label."""

    before: list[int]
    first: tuple[int, ...]


def label_tokens(chat: ChatFormat, start: str, labels: Sequence[str]) -> LabelTokens:
    """The tokens with which a model begins each label behind the words `start`.

    They are those that the tokenizer gives a label behind the rendered opening of the answer, with
    what the chat template puts before an answer's first word. A space sets labels apart from
    `start`, where there is one.

    Raises:
        TemplateError: two labels begin with the same token, one begins with white space, or a
            label changes the tokens before it.
    """
    before = chat.answer(start)
    answers = [chat.answer(f"{start} {label}" if start else label) for label in labels]
    if not start and any(answer[: len(before)] != before for answer in answers):
        # the template's white space is part of the words' own tokens
        before = []
    first = []
    for label, answer in zip(labels, answers, strict=True):
        token = answer[len(before) : len(before) + 1]
        if answer[: len(before)] != before or not token:
            raise TemplateError(
                f"{chat.model}: the label '{label}' does not begin with a token of its own behind "
                f"'{start}'; give the task other words"
            )
        if not chat.tokenizer.decode(token).strip():
            raise TemplateError(
                f"{chat.model}: the label '{label}' begins with a token of white space alone; give "
                "the task labels that begin with a letter or digit"
            )
        first += token
    if len(set(first)) < len(first):
        raise TemplateError(
            f"{chat.model}: two of the labels {list(labels)} begin with the same "
            "token; give the task labels that differ in their first token"
        )
    return LabelTokens(before, tuple(first))


async def read_labels(
    client: SamplingClient, prompt_ids: list[int], label_ids: tuple[int, ...], routing_key: str
) -> np.ndarray:
    """The distribution over the labels [labels] behind a prompt of token ids.

    Raises:
        RolloutError: the model's log-probs are not finite.
    """
    request = GenerateRequest(prompt_ids=prompt_ids, label_ids=label_ids)
    return _normalised((await client.generate(request, routing_key=routing_key)).label_log_probs)


async def read_labels_of_message(
    client: EndpointClient, text: str, labels: tuple[str, ...]
) -> np.ndarray:
    """The distribution over the labels [labels] with which an endpoint answers a message.

    Raises:
        ServerError: the endpoint gives no log-probs, or would answer with something else.
    """
    request = ChatRequest(plain_messages([Message("user", text)]), labels=labels)
    return _normalised((await client.chat(request)).label_log_probs)


def _normalised(label_log_probs: Sequence[float] | None) -> np.ndarray:
    if label_log_probs is None or not np.all(np.isfinite(label_log_probs)):
        raise RolloutError(f"the labels' log-probs are not finite: {label_log_probs}")
    log_probs = np.asarray(label_log_probs, dtype=np.float64)
    weights = np.exp(log_probs - log_probs.max())
    return weights / weights.sum()
