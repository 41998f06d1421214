"""Finished dialogues, read again by a user model that no reward came from.

A policy may learn to please its user model instead of getting to know the user. A second model
that had no part in training shows it: its belief does not follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from curio_ray.config import RunConfig
from curio_ray.config.servers import UserModelRole
from curio_ray.dialogue import Dialogue, Turn
from curio_ray.roles.chat import format_loader, token_format
from curio_ray.roles.label_check import Reader, user_model_readers
from curio_ray.roles.user_model import UserModel, UserModelFormat
from curio_ray.serving.launch import ServerSet
from curio_ray.tasks.base import Task

FIELD = "evaluation.second_user_model"


class SecondUserModel:
    """The user model of `evaluation.second_user_model`.

    Raises:
        TemplateError: a model cannot tell the labels apart, or not read the policy's context.
    """

    def __init__(self, role: UserModelRole, config: RunConfig, task: Task) -> None:
        self._role = role
        self._in_flight = config.rollout.dialogues_in_flight
        self._task = task
        load = format_loader(config.servers, config.template_clock)
        policy = token_format(load, config.roles.policy.server)
        self._policy = policy
        self._format = UserModelFormat(role, task, load, policy, FIELD)

    def readers(self) -> list[Reader]:
        """Its models, to be asked about openings first."""
        return list(user_model_readers(FIELD, self._format, self._policy, self._task))

    def read(self, dialogues: Sequence[Dialogue], servers: ServerSet) -> list[Dialogue]:
        """The same dialogues with this model's beliefs; no word of them changes.

        Raises:
            CurioError: a server failed.
        """
        return asyncio.run(self._read_all(dialogues, servers))

    async def _read_all(self, dialogues: Sequence[Dialogue], servers: ServerSet) -> list[Dialogue]:
        clients = {name: servers.client(name) for name in self._role.servers}
        model = self._format.connect(clients)
        slots = asyncio.Semaphore(self._in_flight)

        async def read(dialogue: Dialogue) -> Dialogue:
            async with slots:
                return await self._read(dialogue, model)

        try:
            return list(await asyncio.gather(*(read(each) for each in dialogues)))
        finally:
            for client in clients.values():
                await client.close()

    async def _read(self, dialogue: Dialogue, model: UserModel) -> Dialogue:
        opening = self._task.opening(dialogue.user)
        session = model.session(dialogue.id, dialogue.prompt_ids, opening)
        initial = await session.ask()
        turns: list[Turn] = []
        for turn in dialogue.turns:
            session.add(turn)
            read = replace(turn, belief=None, label_mass={})
            if turn.speaker == "user":
                reading = await session.ask()
                read.belief = reading.probabilities
                read.note_label_mass("user_model", reading.mass)
            turns.append(read)
        return replace(
            dialogue,
            turns=turns,
            initial_belief=initial.probabilities,
            initial_label_mass=initial.mass,
        )


def make_second_user_model(config: RunConfig, task: Task) -> SecondUserModel | None:
    """The config's second user model, or None where it names none."""
    role = config.evaluation.second_user_model
    return None if role is None else SecondUserModel(role, config, task)
