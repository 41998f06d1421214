"""Prompts that begin alike share the transcript in a server's prefix cache."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from shared_servers import Running

from curio_ray.pocket.encoder import DialogueEncoder, build_tokenizer
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.tasks.base import ReadingPrompt
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT
from curio_ray.tasks.exercise.task import ExerciseTask


def test_the_verdict_finds_the_beliefs_transcript_in_the_cache(
    shared_servers: Callable[..., Running],
) -> None:
    running, task = shared_servers(), ExerciseTask(seed=0)
    user = task.users("train")[0]
    transcript = []
    for name in RELEVANT:
        transcript.append(("policy", words.question(name)))
        transcript.append(("user", words.answer(name, user.persona[name])))
    encoder = DialogueEncoder(build_tokenizer())

    def request(prompt: ReadingPrompt) -> GenerateRequest:
        labels = tuple(encoder.word(label) for label in prompt.labels)
        return GenerateRequest(encoder.reading(prompt, transcript), label_ids=labels)

    belief, verdict = request(task.user_model_prompt()), request(task.reward_model_prompt(user))

    async def ask(client: ServerClient) -> GenerateResult:
        await client.generate(belief, "a")
        return await client.generate(verdict, "a")

    pairs = zip(belief.prompt_ids, verdict.prompt_ids, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    block_size = running.config.servers["frozen"].block_size
    assert running.with_client(ask, "frozen").cached_tokens == shared // block_size * block_size > 0
