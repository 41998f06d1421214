"""Which examples a role's model learns from, and which it is measured on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.config.supervised import RoleName, SupervisedRoleConfig
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.supervised.batches import Group, shuffled
from curio_ray.supervised.examples import (
    environment_example,
    exchanges_of,
    policy_example,
    reward_model_example,
    user_model_example,
)
from curio_ray.tasks.base import Split, Task


class Lessons:
    """The examples of one role in one model's token ids.

    A group is one example, or for the reward model a pair with the better conversation first.
    """

    def __init__(self, role: RoleName, chat: ChatFormat, task: Task) -> None:
        self._role = role
        self._chat = chat
        self._task = task
        self._training = self._groups("train")
        self._moments = _by_conversation(self._training) if role == "user_model" else []

    def held_out(self) -> list[Group]:
        """Every example of the held-out split; the user model's are all moments."""
        return self._groups("held_out")

    def training(self, config: SupervisedRoleConfig, seed: int) -> list[Group]:
        """The examples of all epochs one after the other, in the order to learn from them."""
        rng = np.random.default_rng((seed, 2))
        ordered: list[Group] = []
        left = config.epochs
        while left > 0:
            epoch = shuffled(self._epoch(config, rng), config.batch_size, rng)
            ordered += epoch[: round(min(left, 1.0) * len(epoch))]
            left -= 1
        return ordered or epoch[:1]

    def _epoch(self, config: SupervisedRoleConfig, rng: np.random.Generator) -> list[Group]:
        if self._role != "user_model":
            return self._training
        chosen = []
        for moments in self._moments:
            count = min(config.moments, len(moments))
            chosen += [moments[index] for index in rng.choice(len(moments), count, replace=False)]
        return chosen

    def _groups(self, split: Split) -> list[Group]:
        task, chat = self._task, self._chat
        if self._role == "reward_model":
            return _pairs(chat, task, split)
        recorded = task.demonstrations(split)
        if self._role == "user_model":
            reading = ReadingFormat(chat, task.user_model_prompt(), task.spoken)
            return [
                (user_model_example(reading, task, each, exchanges),)
                for each in recorded
                for exchanges in range(exchanges_of(each) + 1)
            ]
        example = policy_example if self._role == "policy" else environment_example
        return [(example(chat, task, each),) for each in recorded]


def _pairs(chat: ChatFormat, task: Task, split: Split) -> list[Group]:
    pairs = task.preferences(split)
    # a conversation is in several pairs
    recorded = {id(each): each for pair in pairs for each in pair}
    examples = {key: reward_model_example(chat, task, each) for key, each in recorded.items()}
    return [(examples[id(better)], examples[id(worse)]) for better, worse in pairs]


def _by_conversation(groups: Sequence[Group]) -> list[list[Group]]:
    """The moments of each conversation; every first one is before the first exchange."""
    conversations: list[list[Group]] = []
    for group in groups:
        if group[0].exchanges == 0:
            conversations.append([])
        conversations[-1].append(group)
    return conversations
