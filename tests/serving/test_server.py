"""A real policy server: its log-probs, seeds, weight updates, refusals and death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
import torch
from running_servers import LearnerOfOneModel, Pusher, Running, log_probs_of, transformers_model
from transformers import PreTrainedModel

from curio_ray.errors import DeadlineError, ServerError
from curio_ray.serving.client import ServerClient
from curio_ray.serving.connection import Address, framed
from curio_ray.serving.requests import GenerateRequest, GenerateResult

PROMPT = [int(i) for i in torch.arange(70) * 7 % 50 + 5]


@pytest.fixture(scope="module")
def running(make_running: Callable[..., Running]) -> Running:
    return make_running("servers.policy.replicas=2")


def policy_statistics(running: Running) -> list[dict[str, Any]]:
    return [each for each in running.servers.stats() if each["server"] == "policy"]


def test_a_server_whose_model_is_missing_names_the_field(
    make_running: Callable[..., Running],
) -> None:
    with pytest.raises(ServerError, match=r"servers\.policy\.model.*no such folder"):
        make_running("servers.policy.model=./none", "servers.frozen.model=./none")


def test_a_server_that_starts_too_slowly_names_the_field(
    make_running: Callable[..., Running],
) -> None:
    with pytest.raises(DeadlineError, match=r"servers\.policy\.start_deadline_s"):
        make_running("servers.policy.start_deadline_s=0.1", "servers.frozen.model=./none")


def test_log_probs_equal_those_of_transformers(
    running: Running, reference: PreTrainedModel
) -> None:
    requests = [GenerateRequest(PROMPT[n:], max_tokens=12, seed=n) for n in range(8)]
    for request, answer in zip(requests, running.ask(requests), strict=True):
        expected = log_probs_of(reference, request.prompt_ids, answer.token_ids)
        assert answer.log_probs == pytest.approx(expected, abs=1e-4)


def test_log_probs_are_those_of_the_temperature_sampled_at(
    running: Running, reference: PreTrainedModel
) -> None:
    [answer] = running.ask([GenerateRequest(PROMPT, max_tokens=12, temperature=0.5, seed=3)])
    expected = log_probs_of(reference, PROMPT, answer.token_ids, temperature=0.5)
    assert answer.log_probs == pytest.approx(expected, abs=1e-4)


def test_temperature_zero_takes_the_likeliest_token(
    running: Running, reference: PreTrainedModel
) -> None:
    [answer] = running.ask([GenerateRequest(PROMPT, max_tokens=1, temperature=0.0)])
    with torch.no_grad():
        logits = reference(torch.tensor([PROMPT])).logits[0, -1]
    assert answer.token_ids == [int(logits.argmax())]


def test_label_log_probs_equal_those_of_transformers_beside_sampled_requests(
    running: Running, reference: PreTrainedModel
) -> None:
    labels = (9, 3, 0, 21)
    readings = [GenerateRequest(PROMPT[n:], label_ids=labels) for n in range(4)]
    samples = [GenerateRequest(PROMPT[n:], max_tokens=4, temperature=0.7) for n in range(4)]
    for reading, answer in zip(readings, running.ask(readings + samples)[:4], strict=True):
        with torch.no_grad():
            logits = reference(torch.tensor([reading.prompt_ids])).logits[0, -1]
        expected = torch.log_softmax(logits, dim=-1)[list(labels)].tolist()
        assert answer.label_log_probs == pytest.approx(expected, abs=1e-4)


def test_the_likeliest_tokens_come_with_their_log_probs(
    running: Running, reference: PreTrainedModel
) -> None:
    [answer] = running.ask([GenerateRequest(PROMPT, likeliest=5)])
    with torch.no_grad():
        expected = torch.log_softmax(reference(torch.tensor([PROMPT])).logits[0, -1], dim=-1).topk(
            5
        )
    assert [token for token, _ in answer.likeliest][:5] == expected.indices.tolist()
    found = [log_prob for _, log_prob in answer.likeliest][:5]
    assert found == pytest.approx(expected.values.tolist(), abs=1e-4)


def test_the_same_seed_gives_the_same_tokens_in_any_company(running: Running) -> None:
    request = GenerateRequest(PROMPT, max_tokens=12, seed=5)
    [alone] = running.ask([request])
    company = [GenerateRequest(PROMPT[n:], max_tokens=12, seed=n) for n in range(10, 20)]
    assert running.ask([*company, request])[-1].token_ids == alone.token_ids


def finishing_order(running: Running, requests: list[GenerateRequest]) -> list[int]:
    """The places of the requests, sent at once, in the order of their answers."""

    async def converse(client: ServerClient) -> list[int]:
        order: list[int] = []

        async def ask(place: int) -> None:
            await client.generate(requests[place], "a")
            order.append(place)

        await asyncio.gather(*(ask(place) for place in range(len(requests))))
        return order

    return running.with_client(converse)


def test_a_reading_lets_a_short_continuation_go_first(running: Running) -> None:
    reading = GenerateRequest(PROMPT, label_ids=(3, 4, 5))
    assert finishing_order(running, [reading, GenerateRequest(PROMPT, max_tokens=4)]) == [1, 0]


def test_a_reading_does_not_wait_for_a_long_continuation(running: Running) -> None:
    reading = GenerateRequest(PROMPT, label_ids=(3, 4, 5))
    assert finishing_order(running, [reading, GenerateRequest(PROMPT, max_tokens=200)]) == [0, 1]


def test_a_stop_token_ends_the_continuation_and_is_part_of_it(running: Running) -> None:
    [free] = running.ask([GenerateRequest(PROMPT, max_tokens=12, seed=6)])
    stop = free.token_ids[4]
    [stopped] = running.ask(
        [GenerateRequest(PROMPT, max_tokens=12, seed=6, stop_token_ids=(stop,))]
    )
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]


def test_a_prompt_seen_before_comes_from_the_prefix_cache(running: Running) -> None:
    prompt = [ids + 1 for ids in PROMPT]
    _, again = (running.ask([GenerateRequest(prompt)])[0] for _ in range(2))
    assert again.cached_tokens >= running.config.servers["policy"].block_size


def test_a_prompt_that_is_too_long_fails_alone_and_names_the_field(running: Running) -> None:
    limit = running.config.servers["policy"].max_model_len
    refused, served = running.ask(
        [GenerateRequest([5] * limit, max_tokens=2), GenerateRequest(PROMPT, max_tokens=2)]
    )
    assert isinstance(served, GenerateResult)
    with pytest.raises(ServerError, match=r"servers\.policy\.max_model_len"):
        raise refused


def test_a_token_outside_the_vocabulary_fails_alone(running: Running) -> None:
    refused, served = running.ask(
        [GenerateRequest([10**7], max_tokens=2), GenerateRequest(PROMPT, max_tokens=2)]
    )
    assert isinstance(served, GenerateResult)
    with pytest.raises(ServerError, match="policy"):
        raise refused


def test_more_seeded_prompt_tokens_than_a_step_holds_are_all_served(running: Running) -> None:
    limit = running.config.servers["policy"].max_model_len
    requests = [GenerateRequest([n + 5] * (limit - 2), max_tokens=2, seed=n) for n in range(20)]
    answers = running.ask(requests)
    assert [len(answer.token_ids) for answer in answers] == [2] * 20


def test_a_request_that_cannot_be_sent_fails_alone_with_the_reason(running: Running) -> None:
    async def converse(client: ServerClient) -> list[GenerateResult | BaseException]:
        unsendable = GenerateRequest([threading.Lock()])  # type: ignore[list-item]
        requests = (unsendable, GenerateRequest(PROMPT, max_tokens=2))
        answers = [client.generate(each, "a") for each in requests]
        return await asyncio.gather(*answers, return_exceptions=True)

    refused, served = running.with_client(converse)
    assert isinstance(served, GenerateResult)
    with pytest.raises(ServerError, match=r"server 'policy' .* cannot be serialized"):
        raise refused


def test_a_client_that_goes_away_takes_its_requests_with_it(running: Running) -> None:
    async def converse(client: ServerClient) -> None:
        long = [client.generate(GenerateRequest(PROMPT, max_tokens=400), "a") for _ in range(8)]
        calls = [asyncio.ensure_future(each) for each in long]
        await client.generate(GenerateRequest(PROMPT, max_tokens=2), "a")
        assert sum(each["unfinished_requests"] for each in policy_statistics(running)) == 8
        await client.close()
        assert all(isinstance(each.exception(), ServerError) for each in calls)

    running.with_client(converse)
    deadline = time.monotonic() + 10
    while any(each["unfinished_requests"] for each in policy_statistics(running)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stranger_who_does_not_know_the_password_is_sent_away(running: Running) -> None:
    address: Address = ray.get(running.servers.replicas("policy")[0].address.remote())
    with socket.create_connection((address.host, address.port), timeout=10) as connection:
        connection.sendall(framed(b"0" * len(address.password)))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_request_past_its_deadline_names_the_server(running: Running) -> None:
    async def impatient(client: ServerClient) -> None:
        hasty = ServerClient("policy", running.servers.replicas("policy"), 1e-4, 1.0)
        try:
            await hasty.generate(GenerateRequest(PROMPT, max_tokens=100), "a")
        finally:
            await hasty.close()

    with pytest.raises(DeadlineError, match="server 'policy'"):
        running.with_client(impatient)


@pytest.fixture
def pusher(running: Running, changed: PreTrainedModel) -> Iterator[Pusher]:
    """Pushes the changed model; afterwards the server gets its first weights back."""
    pusher = Pusher(running, LearnerOfOneModel(changed))
    yield pusher
    pusher.learner.model = transformers_model("pocket:policy")
    pusher.push(0)


def test_after_an_update_tokens_come_from_the_new_weights_and_carry_their_version(
    running: Running, pusher: Pusher
) -> None:
    request = GenerateRequest(PROMPT, max_tokens=12, seed=1)
    [before] = running.ask([request])
    seconds = pusher.push(7)
    [after] = running.ask([request])
    assert set(seconds) == {"send", "start", "update", "finish"}
    assert before.weight_versions == [0] * len(before.token_ids)
    assert after.weight_versions == [7] * len(after.token_ids)
    expected = log_probs_of(pusher.learner.model, PROMPT, after.token_ids)
    assert after.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_prompt_cached_before_an_update_is_read_anew(running: Running, pusher: Pusher) -> None:
    reading = GenerateRequest(PROMPT, label_ids=(3, 4, 5))
    running.ask([reading])
    pusher.push(8)
    [after] = running.ask([reading])
    with torch.no_grad():
        logits = pusher.learner.model(torch.tensor([PROMPT])).logits[0, -1]
    expected = torch.log_softmax(logits, dim=-1)[[3, 4, 5]].tolist()
    assert after.cached_tokens == 0
    assert after.label_log_probs == pytest.approx(expected, abs=1e-4)


def test_a_request_in_flight_goes_on_with_the_new_weights(running: Running, pusher: Pusher) -> None:
    requests = [GenerateRequest(PROMPT[n:], max_tokens=400, seed=n) for n in range(32)]

    async def converse(client: ServerClient) -> list[GenerateResult]:
        calls = [asyncio.create_task(client.generate(r, "a")) for r in requests]
        await client.generate(GenerateRequest(PROMPT, max_tokens=20), "a")
        await asyncio.to_thread(pusher.push, 9)
        return await asyncio.gather(*calls)

    answers = running.with_client(converse)
    first = transformers_model("pocket:policy")
    for request, answer in zip(requests, answers, strict=True):
        assert answer.weight_versions == sorted(answer.weight_versions)
        assert set(answer.weight_versions) == {0, 9}
        old = answer.weight_versions.count(0)
        expected = log_probs_of(first, request.prompt_ids, answer.token_ids)[:old]
        expected += log_probs_of(pusher.learner.model, request.prompt_ids, answer.token_ids)[old:]
        assert answer.log_probs == pytest.approx(expected, abs=2e-4)


def test_an_update_reaches_every_replica(running: Running, pusher: Pusher) -> None:
    pusher.push(11)
    assert [replica["weight_version"] for replica in policy_statistics(running)] == [11, 11]


def test_the_requests_of_one_dialogue_go_to_one_replica(running: Running) -> None:
    async def converse(client: ServerClient) -> None:
        for _ in range(5):
            await client.generate(GenerateRequest(PROMPT), "one dialogue")

    before = [replica["requests"] for replica in policy_statistics(running)]
    running.with_client(converse)
    after = [replica["requests"] for replica in policy_statistics(running)]
    assert sorted(b - a for a, b in zip(before, after, strict=True)) == [0, 5]


def test_statistics_count_requests_and_tokens(running: Running) -> None:
    before = policy_statistics(running)
    running.ask([GenerateRequest(PROMPT, max_tokens=3)] * 4)
    after = policy_statistics(running)
    for name, expected in {"requests": 4, "sampled_tokens": 12, "prompt_tokens": 280}.items():
        assert sum(b[name] - a[name] for a, b in zip(before, after, strict=True)) == expected


def test_a_request_given_up_is_aborted_at_the_server(running: Running) -> None:
    async def converse(client: ServerClient) -> None:
        long = asyncio.create_task(client.generate(GenerateRequest(PROMPT, max_tokens=440), "a"))
        await client.generate(GenerateRequest(PROMPT), "a")
        long.cancel()
        await client.generate(GenerateRequest(PROMPT), "a")

    running.with_client(converse)
    assert [replica["unfinished_requests"] for replica in policy_statistics(running)] == [0, 0]


def test_requests_of_a_lost_server_wait_until_it_is_back(running: Running) -> None:
    requests = [GenerateRequest(PROMPT, max_tokens=200, seed=n) for n in range(4)]
    expected = [answer.token_ids for answer in running.ask(requests, "frozen")]
    [replica] = running.servers.replicas("frozen")
    process = ray.get(replica.ready.remote())["pid"]

    async def converse(client: ServerClient) -> tuple[list[GenerateResult], float]:
        calls = [asyncio.create_task(client.generate(r, str(n))) for n, r in enumerate(requests)]
        await client.generate(GenerateRequest(PROMPT), "first")
        os.kill(process, signal.SIGKILL)
        return await asyncio.gather(*calls), client.outage_s

    answers, outage_s = running.with_client(converse, "frozen")
    assert [answer.token_ids for answer in answers] == expected
    assert outage_s > 0


def test_a_killed_server_fails_every_pending_request_by_name(running: Running) -> None:
    async def converse(client: ServerClient) -> list[GenerateResult | BaseException]:
        requests = [GenerateRequest(PROMPT, max_tokens=400) for _ in range(4)]
        calls = [asyncio.create_task(client.generate(r, str(n))) for n, r in enumerate(requests)]
        await client.generate(GenerateRequest(PROMPT), "first")
        ray.kill(running.servers.replicas("frozen")[0])
        return await asyncio.gather(*calls, return_exceptions=True)

    for error in running.with_client(converse, "frozen"):
        assert isinstance(error, ServerError)
        assert "server 'frozen'" in str(error)


class ForgetfulLearner(LearnerOfOneModel):
    """Leaves one layer's weight out."""

    def send_weights(self, version: int) -> list[Any]:
        kept = [
            (name, parameter)
            for name, parameter in self.model.named_parameters()
            if name != "model.layers.1.mlp.down_proj.weight"
        ]
        return self.sender.send(kept, version)


def test_an_update_without_a_layers_weight_names_it_and_nobody_samples_from_the_rest(
    running: Running, changed: PreTrainedModel
) -> None:
    pusher = Pusher(running, ForgetfulLearner(changed))
    with pytest.raises(ServerError, match=r"model\.layers\.1\.mlp\.down_proj\.weight"):
        pusher.push(13)
    [answer] = running.ask([GenerateRequest(PROMPT, max_tokens=4)])
    assert isinstance(answer, ServerError)
