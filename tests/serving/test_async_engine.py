"""The engine in a process of its own: the same answers and the same weight update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil
import pytest
import ray
from running_servers import LearnerOfOneModel, Pusher, Running, log_probs_of
from transformers import PreTrainedModel

from curio_ray.errors import ServerError
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult

pytestmark = pytest.mark.slow

PROMPT = list(range(5, 75))


@pytest.fixture(scope="module")
def running(make_running: Callable[..., Running]) -> Running:
    return make_running("servers.policy.engine=async", "servers.frozen.engine=async")


def test_log_probs_equal_those_of_transformers(
    running: Running, reference: PreTrainedModel
) -> None:
    requests = [GenerateRequest(PROMPT[n:], max_tokens=12, seed=n) for n in range(4)]
    for request, answer in zip(requests, running.ask(requests), strict=True):
        expected = log_probs_of(reference, request.prompt_ids, answer.token_ids)
        assert answer.log_probs == pytest.approx(expected, abs=1e-4)
        assert set(answer.weight_versions) == {0}


def test_after_an_update_tokens_come_from_the_new_weights_and_carry_their_version(
    running: Running, changed: PreTrainedModel
) -> None:
    Pusher(running, LearnerOfOneModel(changed)).push(4)
    [answer] = running.ask([GenerateRequest(PROMPT, max_tokens=12, seed=1)])
    expected = log_probs_of(changed, PROMPT, answer.token_ids)
    assert answer.log_probs == pytest.approx(expected, abs=1e-4)
    assert answer.weight_versions == [4] * len(answer.token_ids)


def test_a_prompt_that_is_too_long_fails_alone(running: Running) -> None:
    refused, served = running.ask(
        [GenerateRequest([5] * 512, max_tokens=2), GenerateRequest(PROMPT, max_tokens=2)]
    )
    assert isinstance(refused, ServerError)
    assert len(served.token_ids) == 2


def test_a_server_whose_engine_process_died_is_started_again_and_answers(running: Running) -> None:
    requests = [GenerateRequest(PROMPT, max_tokens=200, seed=n) for n in range(4)]
    expected = [answer.token_ids for answer in running.ask(requests, "frozen")]
    [replica] = running.servers.replicas("frozen")
    server = psutil.Process(ray.get(replica.ready.remote())["pid"])

    async def converse(client: ServerClient) -> list[GenerateResult]:
        calls = [asyncio.create_task(client.generate(r, str(n))) for n, r in enumerate(requests)]
        await client.generate(GenerateRequest(PROMPT), "first")
        for process in server.children(recursive=True):
            process.kill()
        return await asyncio.gather(*calls)

    answers = running.with_client(converse, "frozen")
    assert [answer.token_ids for answer in answers] == expected
