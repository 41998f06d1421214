"""Prompts that begin alike share the transcript in a server's prefix cache."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from conftest import Running

from curio_ray.models.chat import ChatFormat
from curio_ray.models.client import ServerClient
from curio_ray.models.reading import ReadingFormat
from curio_ray.models.requests import GenerateRequest, GenerateResult
from curio_ray.pocket import words
from curio_ray.pocket.world import ATTRIBUTES, RELEVANT
from curio_ray.tasks.base import ReadingPrompt
from curio_ray.tasks.exercise import ExerciseTask


def test_the_verdict_finds_the_beliefs_transcript_in_the_cache(
    make_running: Callable[..., Running],
) -> None:
    running, task = make_running(), ExerciseTask(seed=0)
    user = task.users("train")[0]
    chat = ChatFormat.load("pocket:world")
    prompts = (task.user_model_prompt(), task.reward_model_prompt(user))
    belief, verdict = (request_for(chat, prompt) for prompt in prompts)

    async def ask(client: ServerClient) -> GenerateResult:
        await client.generate(belief, "a")
        return await client.generate(verdict, "a")

    pairs = zip(belief.prompt_ids, verdict.prompt_ids, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    block_size = running.config.servers["world"].block_size
    assert running.with_client(ask, "world").cached_tokens == shared // block_size * block_size > 0


def request_for(chat: ChatFormat, prompt: ReadingPrompt) -> GenerateRequest:
    """The reading of a transcript in which the user was asked and told all that is relevant."""
    reading = ReadingFormat(chat, prompt)
    lines = []
    for name in RELEVANT:
        lines.append(reading.utterance("policy", words.question(name)))
        lines.append(reading.utterance("user", words.answer(name, ATTRIBUTES[name][0])))
    ids = [*reading.start_ids, *(token for line in lines for token in line), *reading.question_ids]
    return GenerateRequest(ids, label_ids=reading.label_ids)
