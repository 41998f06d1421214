"""Adapters alone, sent to a policy server: it computes what the merged weights would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch
from running_servers import LearnerOfOneModel, Pusher, Running, log_probs_of, transformers_model
from transformers import PreTrainedModel

from curio_ray.config.learner import LoraConfig
from curio_ray.errors import ServerError
from curio_ray.learner.lora import add_adapters, product
from curio_ray.learner.policy_weights import PolicyWeights
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult

pytestmark = pytest.mark.slow

PROMPT = [int(i) for i in torch.arange(70) * 7 % 50 + 5]
LORA = LoraConfig(rank=4, alpha=8, targets=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"])
OVERRIDES = (
    "weights.backend=adapters",
    f"learner.lora={{rank: {LORA.rank}, alpha: {LORA.alpha}, targets: {LORA.targets}}}",
)


class LearnerOfAdapters(LearnerOfOneModel):
    """Sends the adapters of its model, or the weights with the adapters merged into them."""

    def __init__(self) -> None:
        super().__init__(transformers_model("pocket:policy"))
        add_adapters(self.model, LORA, seed=0)
        self.weights = PolicyWeights(self.model, zero_stage=0)

    def send_weights(self, version: int) -> list[Any]:
        assert self.sender.adapters_alone
        return self.sender.send(self.weights.named_adapters(torch.float32), version)

    def change(self, seed: int) -> None:
        """Other adapters, about as large as the weights beside them."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.model.modules():
                if hasattr(module, "lora_A"):
                    for matrix in product(module):
                        matrix.copy_(0.2 * torch.randn(matrix.shape, generator=generator))

    def merged(self) -> PreTrainedModel:
        """A plain model of the merged weights."""
        plain = transformers_model("pocket:policy")
        weights = dict(self.weights.named_tensors(torch.float32))
        plain.load_state_dict(weights, strict=False)
        return plain


@pytest.fixture(scope="module", params=["in_process", "async"])
def running(request: pytest.FixtureRequest, make_running: Callable[..., Running]) -> Running:
    return make_running(f"servers.policy.engine={request.param}", *OVERRIDES)


@pytest.fixture(scope="module")
def pusher(running: Running) -> Pusher:
    return Pusher(running, LearnerOfAdapters())


def test_before_the_first_update_the_server_samples_from_the_start_policy(
    running: Running, reference: PreTrainedModel
) -> None:
    [answer] = running.ask([GenerateRequest(PROMPT, max_tokens=12, seed=1)])
    expected = log_probs_of(reference, PROMPT, answer.token_ids)
    assert answer.log_probs == pytest.approx(expected, abs=1e-4)
    assert set(answer.weight_versions) == {0}


def test_a_request_in_flight_at_the_first_update_goes_on_with_the_adapter(
    running: Running, pusher: Pusher
) -> None:
    pusher.learner.change(seed=1)
    requests = [GenerateRequest(PROMPT[n:], max_tokens=400, seed=n) for n in range(16)]

    async def converse(client: ServerClient) -> list[GenerateResult]:
        calls = [asyncio.create_task(client.generate(r, "a")) for r in requests]
        await client.generate(GenerateRequest(PROMPT, max_tokens=20), "a")
        await asyncio.to_thread(pusher.push, 5)
        return await asyncio.gather(*calls)

    first, second = transformers_model("pocket:policy"), pusher.learner.merged()
    for request, answer in zip(requests, running.with_client(converse), strict=True):
        assert set(answer.weight_versions) == {0, 5}
        old = answer.weight_versions.count(0)
        expected = log_probs_of(first, request.prompt_ids, answer.token_ids)[:old]
        expected += log_probs_of(second, request.prompt_ids, answer.token_ids)[old:]
        assert answer.log_probs == pytest.approx(expected, abs=2e-4)


def test_log_probs_equal_those_of_merged_weights_and_tokens_carry_the_version(
    running: Running, pusher: Pusher
) -> None:
    pusher.learner.change(seed=2)
    pusher.push(7)
    requests = [GenerateRequest(PROMPT[n:], max_tokens=12, seed=n) for n in range(8)]
    merged = pusher.learner.merged()
    for request, answer in zip(requests, running.ask(requests), strict=True):
        expected = log_probs_of(merged, request.prompt_ids, answer.token_ids)
        assert answer.log_probs == pytest.approx(expected, abs=1e-4)
        assert answer.weight_versions == [7] * len(answer.token_ids)


def test_a_prompt_cached_before_an_update_is_read_anew(running: Running, pusher: Pusher) -> None:
    reading = GenerateRequest(PROMPT, label_ids=(3, 4, 5))
    running.ask([reading])
    pusher.learner.change(seed=3)
    pusher.push(8)
    [after] = running.ask([reading])
    with torch.no_grad():
        logits = pusher.learner.merged()(torch.tensor([PROMPT])).logits[0, -1]
    expected = torch.log_softmax(logits, dim=-1)[[3, 4, 5]].tolist()
    assert after.cached_tokens == 0
    assert after.label_log_probs == pytest.approx(expected, abs=1e-4)


class LearnerOfOtherLayers(LearnerOfAdapters):
    """Names the layers as a model of another architecture would."""

    def send_weights(self, version: int) -> list[Any]:
        named = self.weights.named_adapters(torch.float32)
        stream = ((name.replace(".model.model.", ".model.decoder."), each) for name, each in named)
        return self.sender.send(stream, version)


def test_layers_that_vllm_would_leave_out_are_refused_when_learner_and_server_meet(
    make_running: Callable[..., Running], running: Running
) -> None:
    own = make_running(f"servers.policy.engine={running.config.policy_server.engine}", *OVERRIDES)
    with pytest.raises(ServerError, match=r"no layer decoder\.layers\.0\..* in all"):
        Pusher(own, LearnerOfOtherLayers())
