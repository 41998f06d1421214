"""An endpoint that is down, slow, busy, refuses, or answers with something else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_endpoint import HANG_UP, FaultyEndpoint, Reply, chat, completion
from vllm_serve import free_port

from curio_ray.config import RunConfig, load_config
from curio_ray.config.servers import EndpointConfig
from curio_ray.errors import CurioError, DeadlineError, PreflightError, ServerError
from curio_ray.roles.endpoint_check import check_endpoint_roles
from curio_ray.roles.roles import RoleFormats
from curio_ray.rollout.failures import failure_kind
from curio_ray.serving.endpoint import EndpointClient, check_endpoints
from curio_ray.serving.requests import ChatRequest, GenerateRequest
from curio_ray.tasks.exercise.task import ExerciseTask

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
SAMPLED = GenerateRequest([1, 2, 3], max_tokens=4, temperature=0.0, stop_token_ids=(2,), seed=7)
LABELS = GenerateRequest([1, 2, 3], label_ids=(5, 6))
SAID = ChatRequest([{"role": "user", "content": "hello"}], max_tokens=4)
CHOSEN = ChatRequest([{"role": "user", "content": "tea or milk?"}], labels=("tea", "milk"))
KEY_VARIABLE, KEY = "CURIO_TEST_KEY", "sesame-open-4711"


def busy_for(tries: int, reply: Reply) -> Callable[[int, dict[str, Any]], Reply]:
    """Answers the first tries with a fault, and then as vLLM's server would."""
    return lambda number, body: reply if number < tries else completion(body)


def always(reply: Reply) -> Callable[[int, dict[str, Any]], Reply]:
    return lambda number, body: reply


def ask(
    endpoint: FaultyEndpoint | str,
    *requests: GenerateRequest | ChatRequest,
    max_in_flight: int = 64,
    **fields: Any,
) -> list[Any]:
    """Send requests at once to an endpoint or address; answers or errors, and seconds of outage."""
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    fields = {"retry_for_s": 0.2, "request_deadline_s": 5, **fields}
    config = EndpointConfig(url=url, model="world", **fields)

    async def converse() -> list[Any]:
        client = EndpointClient("frozen", config, max_in_flight)
        calls = [
            client.chat(each) if isinstance(each, ChatRequest) else client.generate(each, "key")
            for each in requests
        ]
        try:
            answers = await asyncio.gather(*calls, return_exceptions=True)
            return [*answers, client.outage_s]
        finally:
            await client.close()

    return asyncio.run(converse())


def error_of(endpoint: FaultyEndpoint | str, request: Any = SAMPLED, **fields: Any) -> CurioError:
    error, _ = ask(endpoint, request, **fields)
    assert isinstance(error, CurioError), error
    return error


def test_token_ids_go_in_and_come_out():
    with FaultyEndpoint(busy_for(0, Reply())) as endpoint:
        result, _ = ask(endpoint, SAMPLED)
    assert result.token_ids == [33]
    (seen,) = endpoint.seen
    assert (seen["prompt"], seen["stop_token_ids"], seen["seed"]) == ([1, 2, 3], [2], 7)


@pytest.mark.parametrize("fault", [429, 500, 503, HANG_UP])
def test_a_request_is_sent_again_after_a_fault(fault):
    with FaultyEndpoint(busy_for(1, Reply(fault))) as endpoint:
        result, _ = ask(endpoint, SAMPLED, retry_for_s=20)
    assert result.token_ids == [33]
    assert len(endpoint.seen) == 2


def test_pauses_between_tries_grow():
    with FaultyEndpoint(busy_for(3, Reply(503))) as endpoint:
        began = time.monotonic()
        ask(endpoint, SAMPLED, retry_for_s=60)
    assert time.monotonic() - began > 0.75 * (0.5 + 1 + 2)


def test_a_pause_is_as_long_as_the_endpoint_asks():
    with FaultyEndpoint(busy_for(1, Reply(429, headers={"Retry-After": "2"}))) as endpoint:
        began = time.monotonic()
        ask(endpoint, SAMPLED, retry_for_s=20)
    assert 2 <= time.monotonic() - began < 10


def test_too_many_requests_for_too_long_is_an_error_that_says_what_to_lower():
    with FaultyEndpoint(always(Reply(429, {"error": {"message": "slow down"}}))) as endpoint:
        error = error_of(endpoint)
    assert isinstance(error, ServerError)
    for words in ("'frozen'", endpoint.url, "429", "slow down", "servers.frozen.max_in_flight"):
        assert words in str(error)


def test_once_an_endpoint_has_been_out_for_too_long_the_next_request_fails_at_its_first_try():
    with FaultyEndpoint(always(Reply(503))) as endpoint:
        *errors, _ = ask(endpoint, SAMPLED, LABELS, max_in_flight=1, retry_for_s=1)
    assert all(isinstance(error, ServerError) for error in errors)
    assert ["logprob_token_ids" in seen for seen in endpoint.seen] == [False] * 3 + [True]


def test_an_endpoint_that_is_down_is_an_error_with_its_address():
    url = f"http://127.0.0.1:{free_port()}/v1"
    error = error_of(url)
    assert "cannot be reached" in str(error)
    assert url in str(error)
    assert "servers.frozen.url" in str(error)


def test_an_endpoint_that_is_slow_is_a_deadline_error():
    with FaultyEndpoint(always(Reply(slow_s=2))) as endpoint:
        error = error_of(endpoint, request_deadline_s=0.3)
    assert isinstance(error, DeadlineError)
    assert "servers.frozen.request_deadline_s" in str(error)


def test_seconds_in_which_it_answers_nobody_are_an_outage():
    with FaultyEndpoint(busy_for(1, Reply(503))) as endpoint:
        *_, outage_s = ask(endpoint, SAMPLED, retry_for_s=20)
    assert 0.3 < outage_s < 5


def test_no_more_requests_than_allowed_are_in_flight():
    def slow(number: int, body: dict[str, Any]) -> Reply:
        reply = completion(body)
        reply.slow_s = 0.1
        return reply

    with FaultyEndpoint(slow) as endpoint:
        *answers, _ = ask(endpoint, *[SAMPLED] * 12, max_in_flight=3)
    assert all(answer.token_ids == [33] for answer in answers)
    assert endpoint.most_at_once == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_named_by_its_variable_and_never_shown(status, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FaultyEndpoint(always(Reply(status, {"error": f"no such key: {KEY}"}))) as endpoint:
        error = error_of(endpoint, api_key_env=KEY_VARIABLE)
    assert endpoint.authorizations == {f"Bearer {KEY}"}
    assert KEY_VARIABLE in str(error)
    assert KEY not in str(error)


def test_no_error_shows_the_key_that_an_endpoint_repeats(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    for status in (400, 404, 429, 500):
        with FaultyEndpoint(always(Reply(status, f"you sent Bearer {KEY}"))) as endpoint:
            assert KEY not in str(error_of(endpoint, api_key_env=KEY_VARIABLE))


def test_an_endpoint_that_asks_for_a_key_names_the_field_for_it():
    with FaultyEndpoint(always(Reply(401))) as endpoint:
        assert "servers.frozen.api_key_env" in str(error_of(endpoint))


def test_a_key_that_the_environment_does_not_hold_is_an_error_before_any_request(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    config = EndpointConfig(url="http://127.0.0.1:1/v1", model="world", api_key_env=KEY_VARIABLE)
    with pytest.raises(ServerError, match=KEY_VARIABLE):
        EndpointClient("frozen", config, 1)


def test_a_refused_request_is_not_sent_again_and_tells_the_reason():
    refused = Reply(400, {"error": {"message": "the prompt is too long"}})
    with FaultyEndpoint(always(refused)) as endpoint:
        assert "the prompt is too long" in str(error_of(endpoint, retry_for_s=20))
    assert len(endpoint.seen) == 1


@pytest.mark.parametrize(
    "reason",
    [
        {"message": "This model's maximum context length is 512 tokens."},
        {"message": "too long", "code": "context_length_exceeded"},
    ],
)
def test_a_request_that_does_not_fit_is_told_from_others_that_are_refused(reason):
    with FaultyEndpoint(always(Reply(400, {"error": reason}))) as endpoint:
        assert failure_kind([error_of(endpoint)]) == "context"
    with FaultyEndpoint(always(Reply(400, {"error": {"message": "no"}}))) as endpoint:
        assert failure_kind([error_of(endpoint)]) == "server"


def test_an_endpoint_that_is_down_counts_as_a_lost_server():
    assert failure_kind([error_of(f"http://127.0.0.1:{free_port()}/v1")]) == "lost_server"


def test_an_answer_tells_why_it_ended():
    cut = completion({}).body
    cut["choices"][0]["finish_reason"] = "length"
    with FaultyEndpoint(always(Reply(body=cut))) as endpoint:
        assert ask(endpoint, SAMPLED)[0].finish_reason == "length"
    cut = chat("hello").body
    cut["choices"][0]["finish_reason"] = "length"
    with FaultyEndpoint(always(Reply(body=cut))) as endpoint:
        assert ask(endpoint, SAID)[0].finish_reason == "length"


def test_an_answer_without_token_ids_says_to_ask_by_chat():
    with FaultyEndpoint(always(Reply(body={"choices": [{"text": "yes"}]}))) as endpoint:
        assert "write api: chat" in str(error_of(endpoint))


def test_an_answer_without_the_labels_log_probs_is_an_error():
    partial = {"choices": [{"logprobs": {"top_logprobs": [{"token_id:5": -0.1}]}}]}
    with FaultyEndpoint(always(Reply(body=partial))) as endpoint:
        assert "no log-probs of 1 of 2 labels" in str(error_of(endpoint, LABELS))


def test_a_chat_without_log_probs_can_talk_but_not_choose():
    with FaultyEndpoint(always(chat("hello there"))) as endpoint:
        said, chosen, _ = ask(endpoint, SAID, CHOSEN)
    assert said.text == "hello there"
    assert "returns no log-probs" in str(chosen)


def test_fields_of_every_request_can_be_added_and_left_out():
    with FaultyEndpoint(always(chat("hello"))) as endpoint:
        ask(endpoint, SAID, parameters={"max_completion_tokens": 9, "max_tokens": None})
    (seen,) = endpoint.seen
    assert seen["max_completion_tokens"] == 9
    assert "max_tokens" not in seen


def check(endpoint: FaultyEndpoint | str, **fields: Any) -> str:
    """What the check before a run says."""
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    config = EndpointConfig(url=url, **{"model": "world", "request_deadline_s": 1, **fields})
    with pytest.raises(PreflightError) as caught:
        check_endpoints({"frozen": config})
    return str(caught.value)


def test_before_a_run_an_endpoint_that_answers_is_accepted():
    with FaultyEndpoint(always(Reply())) as endpoint:
        check_endpoints({"frozen": EndpointConfig(url=endpoint.url, model="world")})


def test_before_a_run_one_without_a_list_of_models_is_accepted():
    with FaultyEndpoint(always(Reply())) as endpoint:
        endpoint.models = Reply(404)
        check_endpoints({"frozen": EndpointConfig(url=endpoint.url, model="world")})


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (Reply(503), "answers HTTP 503"),
        (Reply(401), "asks for a key"),
        (Reply(body="<html>", status=200), "something else than OpenAI's API"),
        (Reply(slow_s=3), "did not answer within 1 s"),
        (Reply(body={"data": [{"id": "other"}]}), "servers.frozen.model"),
    ],
)
def test_before_a_run_an_endpoint_that_cannot_serve_is_named(models, words):
    with FaultyEndpoint(always(Reply())) as endpoint:
        endpoint.models = models
        assert words in check(endpoint)


def test_before_a_run_an_endpoint_that_is_down_is_named():
    assert "cannot be reached" in check(f"http://127.0.0.1:{free_port()}/v1")


def run_config(endpoint: FaultyEndpoint, *changes: str, api: str = "chat") -> RunConfig:
    """The pocket run with all frozen roles behind an endpoint."""
    tokenizer = ", tokenizer: 'pocket:world'" if api == "completions" else ""
    server = f"{{url: '{endpoint.url}', model: world, api: {api}, retry_for_s: 0.2{tokenizer}}}"
    return load_config(POCKET, (f"servers.frozen={server}", *changes))


def role_check(config: RunConfig) -> None:
    task = ExerciseTask(seed=0)
    check_endpoint_roles(config, RoleFormats(config, task), task)


def test_before_the_first_dialogue_every_role_is_asked_once():
    with FaultyEndpoint(busy_for(0, Reply())) as endpoint:
        role_check(run_config(endpoint, api="completions"))
    assert len(endpoint.seen) == 3


def test_before_the_first_dialogue_a_role_without_log_probs_is_named():
    with (
        FaultyEndpoint(always(chat("hello"))) as endpoint,
        pytest.raises(ServerError, match=r"roles\.(user_model|reward_model): .* no log-probs"),
    ):
        role_check(run_config(endpoint))
