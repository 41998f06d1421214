"""A simulated user who becomes someone else, with the pocket model made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from curio_ray.config.servers import EnvironmentRole
from curio_ray.dialogue import User
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest
from curio_ray.tasks.base import Message
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT
from curio_ray.tasks.exercise.task import ExerciseTask

QUESTIONS = [words.question(name) for name in RELEVANT]


class RecordingClient(ServerClient):
    """The real client; remembers what it sent."""

    sent: list[list[int]]

    async def generate(self, request: GenerateRequest, routing_key: str):
        self.sent.append(list(request.prompt_ids))
        return await super().generate(request, routing_key)


@dataclass
class Talk:
    """What was replied before and after the change, and the prompts of all requests."""

    before: list[str]
    after: list[str]
    prompts: list[list[int]]


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat.load("pocket:changing_world")


def task_of(changes: str) -> ExerciseTask:
    return ExerciseTask(seed=0, questions=8, changes=changes)


@pytest.fixture(scope="module")
def user() -> User:
    return task_of("switch").users("held_out")[0]


@pytest.fixture(scope="module")
def hold(shared_servers: Callable, chat: ChatFormat) -> Callable[[ExerciseTask, User], Talk]:
    running = shared_servers("servers.frozen.model=pocket:changing_world")

    def hold(task: ExerciseTask, user: User) -> Talk:
        async def speak(plain: ServerClient) -> Talk:
            client = RecordingClient("frozen", running.servers.replicas("frozen"), 60, 60)
            client.sent = []
            model = EnvironmentModel(client, chat, EnvironmentRole(server="frozen", max_tokens=12))
            session = model.session(task.environment_prompt(user), task.opening(user), "a")
            try:
                before = [(await session.reply(each, seed=0)).text for each in QUESTIONS]
                announcement = user.changes[0].announcement
                session.become(task.environment_prompt(now(user)), announcement)
                after = [(await session.reply(each, seed=0)).text for each in QUESTIONS]
            finally:
                await client.close()
            return Talk(before, after, client.sent)

        return running.with_client(speak, "frozen")

    return hold


def now(user: User) -> User:
    return user.at(user.changes[0].after)


def replies(persona) -> list[str]:
    return [words.reply(persona, question) for question in QUESTIONS]


@pytest.fixture(scope="module")
def silent(hold: Callable[[ExerciseTask, User], Talk], user: User) -> Talk:
    return hold(task_of("switch"), user)


def test_a_changed_user_answers_as_the_new_persona_whatever_was_said(
    silent: Talk, user: User
) -> None:
    assert silent.before == replies(user.persona)
    assert silent.after == replies(now(user).persona)
    assert silent.before != silent.after


def test_the_context_opens_anew_with_the_new_persona_and_the_same_history(
    silent: Talk, chat: ChatFormat, user: User
) -> None:
    history = [Message("assistant", words.OPENING)]
    for question, reply in zip(QUESTIONS, silent.before, strict=True):
        history += [Message("user", question), Message("assistant", reply)]
    persona = words.persona_instruction(now(user).persona)
    expected = chat.open([Message("system", persona), *history, Message("user", QUESTIONS[0])])
    assert silent.prompts[len(QUESTIONS)] == expected


def test_the_context_only_grows_before_the_change_and_after_it(silent: Talk) -> None:
    count = len(QUESTIONS)
    for start in (0, count):
        part = silent.prompts[start : start + count]
        for shorter, longer in pairwise(part):
            assert longer[: len(shorter)] == shorter


def test_an_announced_change_begins_the_next_reply_and_no_other(
    hold: Callable[[ExerciseTask, User], Talk],
) -> None:
    task = task_of("context")
    user = task.users("held_out")[0]
    announced, expected = hold(task, user), replies(now(user).persona)
    assert announced.before == replies(user.persona)
    assert announced.after[0] == f"{user.changes[0].announcement} {expected[0]}"
    assert announced.after[1:] == expected[1:]
