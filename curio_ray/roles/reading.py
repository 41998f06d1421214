"""Prompts for a model that reads a growing transcript and answers with one label.

The stable part comes first, new utterances next and the short question last, so that each
question finds everything before the new words in the prefix cache.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np

from curio_ray.dialogue import Speaker
from curio_ray.errors import RolloutError, TemplateError
from curio_ray.roles.chat import ChatFormat
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest
from curio_ray.tasks.base import ReadingPrompt


class ReadingFormat:
    """A `ReadingPrompt` in the token ids of one model.

    Raises:
        TemplateError: two labels begin with the same token.
    """

    def __init__(self, chat: ChatFormat, prompt: ReadingPrompt) -> None:
        self._chat = chat
        self._names = {"policy": prompt.policy_name, "user": prompt.user_name}
        before, after = chat.single_message_parts()
        self.start_ids = [*before, *chat.encode(f"{prompt.instruction}\n")]
        self.question_ids = [*chat.encode(prompt.question), *after]
        self.label_ids = first_tokens(chat, "", prompt.labels)

    def utterance(self, speaker: Speaker, text: str) -> list[int]:
        """The ids that one utterance adds to the transcript."""
        return self._chat.encode(f"{self._names[speaker]}: {text}\n")


class ReadingSession:
    """A model that reads one dialogue and can be asked its question at any moment."""

    def __init__(self, client: ServerClient, reading: ReadingFormat, dialogue_id: str) -> None:
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


def first_tokens(chat: ChatFormat, start: str, labels: Sequence[str]) -> tuple[int, ...]:
    """The first token of each label behind the words `start`, which a space sets apart.

    Raises:
        TemplateError: two labels begin with the same token, or a label changes the tokens of
            `start`.
    """
    before = chat.encode(start)
    ids = []
    for label in labels:
        whole = chat.encode(f"{start} {label}" if start else label)
        if whole[: len(before)] != before or len(whole) == len(before):
            raise TemplateError(
                f"{chat.model}: the label '{label}' does not begin with a token of its own behind "
                f"'{start}'; give the task other words"
            )
        ids.append(whole[len(before)])
    if len(set(ids)) < len(ids):
        raise TemplateError(
            f"{chat.model}: two of the labels {list(labels)} begin with the same "
            "token; give the task labels that differ in their first token"
        )
    return tuple(ids)


async def read_labels(
    client: ServerClient, prompt_ids: list[int], label_ids: tuple[int, ...], routing_key: str
) -> np.ndarray:
    """The distribution over the labels [labels] behind a prompt.

    Raises:
        RolloutError: the model's log-probs are not finite.
    """
    request = GenerateRequest(prompt_ids=prompt_ids, label_ids=label_ids)
    result = await client.generate(request, routing_key=routing_key)
    if result.label_log_probs is None or not np.all(np.isfinite(result.label_log_probs)):
        raise RolloutError(f"the labels' log-probs are not finite: {result.label_log_probs}")
    log_probs = np.asarray(result.label_log_probs, dtype=np.float64)
    weights = np.exp(log_probs - log_probs.max())
    return weights / weights.sum()
