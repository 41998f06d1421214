"""Prompts for a model that reads a growing transcript and answers with one label.

The stable part comes first, new utterances next and the short question last, so that each
question finds everything before the new words in the prefix cache. A model that is asked in token
ids tells the log-probs of the labels' first tokens; an endpoint that is asked in messages tells the
most likely beginnings of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, cast

from curio_ray.dialogue import Speaker
from curio_ray.roles.chat import ChatFormat, MessageFormat, ModelFormat
from curio_ray.roles.labels import (
    LabelTokens,
    Reading,
    label_tokens,
    read_labels,
    read_labels_of_message,
)
from curio_ray.roles.transcript import Transcript
from curio_ray.tasks.base import Message, ReadingPrompt

if TYPE_CHECKING:
    from curio_ray.serving.clients import SamplingClient
    from curio_ray.serving.endpoint import EndpointClient


class ReadingSession(Protocol):
    """A model that reads one dialogue and can be asked its question at any moment."""

    def add(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """What the model answers after what was said until now."""


class ReadingFormat:
    """A `ReadingPrompt` in the token ids of one model; `spoken` is the task's.

    Raises:
        TemplateError: two labels begin with the same token.
    """

    def __init__(
        self, chat: ChatFormat, prompt: ReadingPrompt, spoken: Callable[[str], str] | None = None
    ) -> None:
        self.prompt = prompt
        self._chat = chat
        self._transcript = Transcript(prompt.policy_name, prompt.user_name, spoken)
        self.labels = label_tokens(chat, "", prompt.labels)
        self.start_ids = chat.begin_message(f"{prompt.instruction.strip()}\n")
        self.lead_ids = self.labels.before
        self.question_ids = [*chat.end_message(prompt.question.strip()), *self.lead_ids]
        self.label_ids = self.labels.first

    def utterance(self, speaker: Speaker, text: str) -> list[int]:
        """The ids that one utterance adds to the transcript."""
        return self._chat.add_line(f"{self._transcript.line(speaker, text)}\n")

    def verify(self, text: str) -> None:
        """Compare the prompt after an utterance of this text with the model's full template.

        Raises:
            TemplateError: they differ; the message shows the first differing token.
        """
        ids = [*self.start_ids, *self.utterance("user", text), *self.question_ids]
        start, line = self.prompt.instruction.strip(), self._transcript.line("user", text)
        said = [Message("user", f"{start}\n{line}\n{self.prompt.question.strip()}")]
        self._chat.check_equal(ids[: len(ids) - len(self.lead_ids)], said)

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

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """What the model answers after what was said until now."""
        prompt_ids = [*self._transcript, *self._reading.question_ids]
        return read_labels(self._client, prompt_ids, self._reading.labels, self._dialogue_id)


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
        return MessageReadingSession(cast("EndpointClient", client), self)


class MessageReadingSession:
    """A transcript as text that only grows."""

    def __init__(self, client: EndpointClient, reading: MessageReadingFormat) -> None:
        self._client = client
        self._reading = reading
        self._transcript = f"{reading.prompt.instruction}\n"

    def add(self, speaker: Speaker, text: str) -> None:
        """Add an utterance to the transcript."""
        self._transcript += self._reading.utterance(speaker, text)

    def ask(self) -> Coroutine[Any, Any, Reading]:
        """What the model answers after what was said until now."""
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
        self._tokens = LabelTokens([], (), ())
        if isinstance(model, ChatFormat):
            self._tokens = label_tokens(model, "", labels)

    def ask(
        self, client: SamplingClient, text: str, routing_key: str
    ) -> Coroutine[Any, Any, Reading]:
        """What the model answers behind a text."""
        if isinstance(self._model, MessageFormat):
            return read_labels_of_message(cast("EndpointClient", client), text, self._labels)
        prompt_ids = [*self._model.open([Message("user", text)]), *self._tokens.before]
        return read_labels(client, prompt_ids, self._tokens, routing_key)
