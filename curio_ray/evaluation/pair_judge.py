"""A judge that reads two dialogues with the same user and says which is better."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue, User
from curio_ray.errors import ConfigError, TemplateError
from curio_ray.roles.chat import format_loader
from curio_ray.roles.label_check import Question, Reader
from curio_ray.roles.labels import Reading
from curio_ray.roles.reading import LabelQuestion
from curio_ray.roles.transcript import Transcript
from curio_ray.serving.clients import SamplingClient
from curio_ray.serving.launch import ServerSet
from curio_ray.tasks.base import ComparisonPrompt, Task


@dataclass(frozen=True, slots=True)
class Comparison:
    """A `ComparisonPrompt` and its labels as the judge's model tells them apart."""

    prompt: ComparisonPrompt
    question: LabelQuestion
    spoken: Callable[[str], str]

    def text(self, opening: str, first: Dialogue, second: Dialogue) -> str:
        """The whole message, with the dialogues in this order."""
        prompt = self.prompt
        transcript = Transcript(prompt.policy_name, prompt.user_name, self.spoken)
        lines = [prompt.instruction]
        for heading, dialogue in zip(prompt.headings, (first, second), strict=True):
            lines += [heading, transcript.line("user", opening)]
            lines += [transcript.line(turn.speaker, turn.text) for turn in dialogue.turns]
        return "\n".join([*lines, prompt.question])


class PairJudge:
    """The model of `evaluation.judge`, which compares by the task's criteria.

    Raises:
        ConfigError: the model cannot tell the task's labels apart.
    """

    def __init__(self, server: str, config: RunConfig, task: Task) -> None:
        self._server = server
        self._in_flight = config.rollout.dialogues_in_flight
        self._task = task
        self._model = format_loader(config.servers, config.template_clock)(server)
        try:
            self._comparisons(task.users("held_out")[0])
        except TemplateError as error:
            raise ConfigError(
                f"evaluation.judge.server: '{server}' cannot compare dialogues of this task: "
                f"{error}; name the server of a model that knows the labels, or leave "
                "evaluation.judge out to compare by the reward model's verdicts"
            ) from error

    def readers(self) -> list[Reader]:
        """The judge, to be asked by each criterion about two dialogues with an opening alone."""

        def by(name: str) -> Question:
            def question(client: SamplingClient, user: User) -> Coroutine[Any, Any, Reading]:
                comparison = self._comparisons(user.at(0))[name]
                nothing_more = Dialogue("check", user, [], [])
                text = comparison.text(self._task.opening(user), nothing_more, nothing_more)
                return comparison.question.ask(client, text, nothing_more.id)

            return question

        names = self._comparisons(self._task.users("held_out")[0])
        return [Reader("evaluation.judge", self._server, self._model, by(name)) for name in names]

    def compare(
        self, first: Sequence[Dialogue], second: Sequence[Dialogue], servers: ServerSet
    ) -> dict[str, np.ndarray]:
        """By criterion, the chances [users, 2] that the first policy's dialogue is better.

        Column 0 is where it was shown first, column 1 where it was shown second.

        Raises:
            CurioError: the server failed.
        """
        return asyncio.run(self._compare_all(list(zip(first, second, strict=True)), servers))

    async def _compare_all(
        self, pairs: list[tuple[Dialogue, Dialogue]], servers: ServerSet
    ) -> dict[str, np.ndarray]:
        client = servers.client(self._server)
        slots = asyncio.Semaphore(self._in_flight)

        async def compare(pair: tuple[Dialogue, Dialogue]) -> dict[str, tuple[float, float]]:
            async with slots:
                return await self._compare(client, *pair)

        try:
            found = await asyncio.gather(*(compare(pair) for pair in pairs))
        finally:
            await client.close()
        return {name: np.array([each[name] for each in found]) for name in found[0]}

    async def _compare(
        self, client: SamplingClient, first: Dialogue, second: Dialogue
    ) -> dict[str, tuple[float, float]]:
        opening = self._task.opening(first.user)
        chances = {}
        for name, each in self._comparisons(first.last_user).items():
            there, back = await asyncio.gather(
                *(
                    each.question.ask(client, each.text(opening, *order), first.id)
                    for order in ((first, second), (second, first))
                )
            )
            chances[name] = (float(there.probabilities[0]), float(back.probabilities[1]))
        return chances

    def _comparisons(self, user: User) -> Mapping[str, Comparison]:
        prompts = self._task.comparison_prompts(user)
        return {
            name: Comparison(prompt, LabelQuestion(self._model, prompt.labels), self._task.spoken)
            for name, prompt in prompts.items()
        }
