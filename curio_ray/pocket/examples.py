"""The supervised example, and the batch that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.tasks.base import Message


@dataclass(frozen=True, slots=True)
class Example:
    """A token sequence and what should follow some of its tokens.

    `targets[i]` is the wanted distribution [vocabulary] over the token after `positions[i]`.
    """

    token_ids: list[int]
    positions: list[int]
    targets: list[np.ndarray]


class ChatExample:
    """A chat that grows message by message; what the model itself says is to be learned."""

    def __init__(self, encoder: DialogueEncoder, *prompt: Message) -> None:
        self._encoder = encoder
        self._example = Example(encoder.chat(prompt), [], [])

    def hear(self, text: str) -> None:
        """Append a message to the model."""
        self._example.token_ids.extend(self._encoder.message(Message("user", text)))

    def speak(
        self,
        text: str,
        learned: bool = True,
        alternatives: Sequence[str] = (),
        given: str = "",
    ) -> None:
        """Append a message of the model.

        Where the text has one of the words in `alternatives`, all of them are equally right.
        `given` are words put into the model's mouth: they begin the message and are not learned.
        """
        encoder, ids = self._encoder, self._example.token_ids
        ids.extend(encoder.generation_prompt)
        if given:
            ids.extend(encoder.text(given))
        spoken = encoder.message(Message("assistant", text))[len(encoder.generation_prompt) :]
        if learned:
            self._example.positions.extend(range(len(ids) - 1, len(ids) - 1 + len(spoken)))
            self._example.targets.extend(self._targets(spoken, alternatives))
        ids.extend(spoken)

    def finish(self) -> Example:
        """The example as it stands."""
        return self._example

    def _targets(self, spoken: Sequence[int], alternatives: Sequence[str]) -> list[np.ndarray]:
        size = self._encoder.vocabulary_size
        choices = [self._encoder.word(word) for word in alternatives]
        spread = over_words(choices, np.full(len(choices), 1 / max(len(choices), 1)), size)
        return [spread if token in choices else one_hot(token, size) for token in spoken]


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded examples: `token_ids` [batch, length]; each target [vocabulary] at its row."""

    token_ids: torch.Tensor
    rows: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor


def collate(examples: Sequence[Example], padding_id: int = 0) -> Batch:
    """Pad on the right; with causal attention, padding then changes nothing before it."""
    length = max(len(example.token_ids) for example in examples)
    token_ids = np.full((len(examples), length), padding_id, dtype=np.int64)
    for row, example in enumerate(examples):
        token_ids[row, : len(example.token_ids)] = example.token_ids
    rows = [row for row, example in enumerate(examples) for _ in example.positions]
    positions = [position for example in examples for position in example.positions]
    targets = np.stack([target for example in examples for target in example.targets])
    return Batch(
        torch.from_numpy(token_ids),
        torch.tensor(rows),
        torch.tensor(positions),
        torch.from_numpy(targets.astype(np.float32)),
    )


def batches_by_length(examples: Sequence[Example], size: int) -> list[Batch]:
    """Batches of at most `size` examples, alike in length so that little is padding."""
    ordered = sorted(examples, key=lambda example: len(example.token_ids))
    return [collate(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def one_hot(token: int, vocabulary_size: int) -> np.ndarray:
    """A distribution [vocabulary] that is certain of one token."""
    distribution = np.zeros(vocabulary_size, dtype=np.float32)
    distribution[token] = 1.0
    return distribution


def over_words(
    word_ids: Sequence[int], probabilities: np.ndarray, vocabulary_size: int
) -> np.ndarray:
    """A distribution [vocabulary] that is given on some words and zero elsewhere."""
    distribution = np.zeros(vocabulary_size, dtype=np.float32)
    distribution[list(word_ids)] = probabilities
    return distribution
