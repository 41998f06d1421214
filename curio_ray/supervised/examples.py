"""Recorded conversations in exactly the token ids that the roles are sent in dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curio_ray.dialogue import Speaker
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Demonstration, Message, Task


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence that a role's model reads.

    `token_ids` is int32[N]. `own` is bool[N]: the tokens that the role itself says, the template's
    end mark included. For a reading role `own` is nowhere true. `label_ids`
    int32[labels, spellings] are the possible next tokens after the last one, -1 where a label has
    fewer spellings, and `label` counts into the labels. `exchanges` is how many of the
    conversation's exchanges the sequence holds.
    """

    token_ids: np.ndarray
    own: np.ndarray
    label_ids: np.ndarray
    label: int = 0
    exchanges: int = 0

    def __len__(self) -> int:
        return len(self.token_ids)


def policy_example(chat: ChatFormat, task: Task, demonstration: Demonstration) -> Example:
    """The conversation in the policy's context; the policy's words are its own."""
    prompt = task.policy_prompt(demonstration.user)
    return _spoken(chat, prompt, demonstration.utterances)


def environment_example(chat: ChatFormat, task: Task, demonstration: Demonstration) -> Example:
    """The conversation in the environment model's context, up to the user's last words."""
    user, said = demonstration.user, demonstration.utterances
    prompt = [
        Message("system", task.environment_prompt(user)),
        Message("assistant", task.opening(user)),
        Message("user", said[0]),
    ]
    replies = len(said) // 2
    return _spoken(chat, prompt, said[1 : 2 * replies])


def user_model_example(
    reading: ReadingFormat, task: Task, demonstration: Demonstration, exchanges: int
) -> Example:
    """What the user model is asked after so many exchanges; the label is the user's type."""
    heard = demonstration.utterances[: 2 * exchanges]
    return _read(reading, task, demonstration, heard, demonstration.user.type_index)


def reward_model_example(chat: ChatFormat, task: Task, demonstration: Demonstration) -> Example:
    """What the reward model is asked after the whole conversation; label 1 means success."""
    reading = ReadingFormat(chat, task.reward_model_prompt(demonstration.user), task.spoken)
    return _read(reading, task, demonstration, demonstration.utterances, 1)


def exchanges_of(demonstration: Demonstration) -> int:
    """How often policy and user have both spoken."""
    return len(demonstration.utterances) // 2


def _spoken(chat: ChatFormat, prompt: Sequence[Message], utterances: Sequence[str]) -> Example:
    """Own and others' words in turns after the prompt, the own ones first."""
    pieces, own = [chat.open(prompt)], [False]
    for index in range(0, len(utterances), 2):
        said = chat.spoken(utterances[index])
        pieces.append(said)
        own.append(True)
        if index + 2 < len(utterances):
            pieces.append(chat.reply_suffix(said, utterances[index + 1]))
            own.append(False)
    return Example(
        np.concatenate(pieces).astype(np.int32),
        np.repeat(own, [len(piece) for piece in pieces]),
        np.zeros((0, 1), np.int32),
    )


def _read(
    reading: ReadingFormat,
    task: Task,
    demonstration: Demonstration,
    heard: Sequence[str],
    label: int,
) -> Example:
    speakers: tuple[Speaker, Speaker] = ("policy", "user")
    ids = [*reading.start_ids, *reading.utterance("user", task.opening(demonstration.user))]
    for index, text in enumerate(heard):
        ids.extend(reading.utterance(speakers[index % 2], text))
    ids.extend(reading.question_ids)
    return Example(
        np.asarray(ids, np.int32),
        np.zeros(len(ids), bool),
        _padded(reading.labels.spelled),
        label,
        len(heard) // 2,
    )


def _padded(spelled: Sequence[Sequence[int]]) -> np.ndarray:
    most = max(map(len, spelled))
    return np.array([[*ids, *[-1] * (most - len(ids))] for ids in spelled], np.int32)
