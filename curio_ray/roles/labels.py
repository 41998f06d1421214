"""Labels: the tokens that begin them, and the probabilities with which a model answers so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from curio_ray.errors import RolloutError, TemplateError
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.content import plain_messages
from curio_ray.serving.requests import MAX_LABELS, ChatRequest, GenerateRequest
from curio_ray.tasks.base import Message

if TYPE_CHECKING:
    from curio_ray.serving.clients import SamplingClient
    from curio_ray.serving.endpoint import EndpointClient

_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model answers to a question with labels.

    `probabilities` [labels] sum to 1. `mass` in [0, 1] is what the labels hold together before
    they are made to: the probability that the model answers with one of them at all.
    """

    probabilities: np.ndarray
    mass: float


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """What goes between a prompt's opening and a label, and the tokens that begin each label.

    `first` has the token of each label as the task writes it. `spelled` has all tokens of each
    label: the same, then those of its other spellings.
    """

    before: list[int]
    first: tuple[int, ...]
    spelled: tuple[tuple[int, ...], ...]


def label_tokens(chat: ChatFormat, start: str, labels: Sequence[str]) -> LabelTokens:
    """The tokens with which a model begins each label behind the words `start`.

    They are those that the tokenizer gives a label behind the rendered opening of the answer, with
    what the chat template puts before an answer's first word. A space sets labels apart from
    `start`, where there is one. A label is also spelled with a space before it, and one of several
    letters in lower, upper and title case.

    Raises:
        TemplateError: two labels begin with the same token, one begins with white space, or a
            label changes the tokens before it.
    """
    return _label_tokens(chat, start, tuple(labels))


@lru_cache(maxsize=_REMEMBERED)
def _label_tokens(chat: ChatFormat, start: str, labels: tuple[str, ...]) -> LabelTokens:
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
            where = f" behind '{start}'" if start else ""
            raise TemplateError(
                f"{chat.model}: the label '{label}' begins with a token of white space alone"
                f"{where}; give the task other words, such as yes and no"
            )
        first += token
    if len(set(first)) < len(first):
        raise TemplateError(
            f"{chat.model}: two of the labels {list(labels)} begin with the same "
            "token; give the task labels that differ in their first token"
        )
    others = [list(_other_spellings(chat, start, label, before)) for label in labels]
    return LabelTokens(before, tuple(first), _without_doubt(first, others))


def _other_spellings(chat: ChatFormat, start: str, label: str, before: list[int]) -> Iterator[int]:
    """Tokens that begin another spelling of a label, and say enough of it to stand for it.

    A single letter in another case is none: "a" is a word.
    """
    cases = (label, label.lower(), label.upper(), label[0].upper() + label[1:], label.title())
    for case in dict.fromkeys(cases if len(label) > 1 else (label,)):
        for text in (f"{start} {case}",) if start else (case, f" {case}"):
            try:
                answer = chat.answer(text)
            except TemplateError:
                continue
            token = answer[len(before) : len(before) + 1]
            said = chat.tokenizer.decode(token).strip() if token else ""
            if answer[: len(before)] == before and (len(said) > 1 or said == case):
                yield token[0]


def _without_doubt(
    first: Sequence[int], others: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], ...]:
    """Each label's own token, then the others that are its alone, as many as can be read."""
    of_labels = Counter(token for tokens in others for token in set(tokens))
    most = MAX_LABELS // len(first)
    return tuple(
        tuple(
            dict.fromkeys(
                [own, *(each for each in tokens if of_labels[each] == 1 and each not in first)]
            )
        )[: max(1, most)]
        for own, tokens in zip(first, others, strict=True)
    )


async def read_labels(
    client: SamplingClient, prompt_ids: list[int], labels: LabelTokens, routing_key: str
) -> Reading:
    """The distribution over the labels [labels] behind a prompt of token ids.

    Raises:
        RolloutError: the model's log-probs are not finite.
    """
    label_ids = tuple(token for tokens in labels.spelled for token in tokens)
    request = GenerateRequest(prompt_ids=prompt_ids, label_ids=label_ids)
    found = (await client.generate(request, routing_key=routing_key)).label_log_probs
    lengths = [len(tokens) for tokens in labels.spelled]
    return reading_of(None if found is None else _summed(found, lengths))


async def read_labels_of_message(
    client: EndpointClient, text: str, labels: tuple[str, ...]
) -> Reading:
    """The distribution over the labels [labels] with which an endpoint answers a message.

    Raises:
        ServerError: the endpoint gives no log-probs, or would answer with something else.
    """
    request = ChatRequest(plain_messages([Message("user", text)]), labels=labels)
    return reading_of((await client.chat(request)).label_log_probs)


def reading_of(label_log_probs: Sequence[float] | None) -> Reading:
    """The reading in labels' log-probs.

    Raises:
        RolloutError: they are not finite.
    """
    if label_log_probs is None or not np.all(np.isfinite(label_log_probs)):
        raise RolloutError(f"the labels' log-probs are not finite: {label_log_probs}")
    log_probs = np.asarray(label_log_probs, dtype=np.float64)
    weights = np.exp(log_probs - log_probs.max())
    # rounding can bring the sum of a sure model a little above 1
    mass = min(1.0, float(np.exp(log_probs).sum()))
    return Reading(weights / weights.sum(), mass)


def _summed(log_probs: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """Log-probs of labels from those of their spellings, `lengths` of each."""
    parts = np.split(np.asarray(log_probs, dtype=np.float64), np.cumsum(lengths)[:-1])
    return [float(np.logaddexp.reduce(part)) for part in parts]
