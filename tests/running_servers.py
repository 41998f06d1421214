"""A started policy server on the packaged model, and the same model in transformers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from curio_ray.config import RunConfig, load_config
from curio_ray.model_paths import locate_model
from curio_ray.serving.client import ServerClient
from curio_ray.serving.launch import ServerSet, start_servers
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.weights.sync import WeightSender, make_weight_sync

POCKET_CONFIG = Path(__file__).parents[1] / "configs" / "pocket.yaml"


@dataclass
class Running:
    """A run's config with its started servers."""

    config: RunConfig
    servers: ServerSet

    def ask(
        self, requests: list[GenerateRequest], server: str = "policy"
    ) -> list[GenerateResult | BaseException]:
        """Send all requests at once; answers or errors in the order of the requests."""

        async def converse(client: ServerClient) -> list[GenerateResult | BaseException]:
            calls = [client.generate(request, str(n)) for n, request in enumerate(requests)]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.with_client(converse, server)

    def with_client(
        self, use: Callable[[ServerClient], Coroutine[Any, Any, Any]], server: str = "policy"
    ) -> Any:
        """Run a coroutine with a client that is closed afterwards."""

        async def run() -> Any:
            client = self.servers.client(server)
            try:
                return await use(client)
            finally:
                await client.close()

        return asyncio.run(run())


@dataclass
class LearnerOfOneModel:
    """The learner's side of a push, on one transformers model in this process."""

    model: PreTrainedModel

    def make_weight_senders(self, make: Callable[[int], WeightSender]) -> None:
        self.sender = make(0)

    def send_weights(self, version: int) -> list[Any]:
        return self.sender.send(self.model.named_parameters(), version)


@dataclass
class Pusher:
    """Pushes a learner's weights to every replica of the policy's server."""

    running: Running
    learner: LearnerOfOneModel

    def __post_init__(self) -> None:
        self._sync = make_weight_sync(self.running.config, self.learner)
        self._sync.connect(self.running.servers.named_replicas("policy"))

    def push(self, version: int) -> dict[str, float]:
        return self._sync.push(self.running.servers.named_replicas("policy"), version)


@pytest.fixture(scope="module")
def make_running() -> Iterator[Callable[..., Running]]:
    """Starts the servers of the pocket config with overrides, in a Ray of this module's own."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    started: list[ServerSet] = []

    def make(*overrides: str) -> Running:
        config = load_config(POCKET_CONFIG, overrides)
        servers = start_servers(config)
        try:
            servers.wait_ready()
        except BaseException:
            servers.shutdown()
            raise
        started.append(servers)
        return Running(config, servers)

    yield make
    for servers in started:
        servers.shutdown()
    ray.shutdown()


@pytest.fixture
def reference() -> PreTrainedModel:
    """The policy's model as the servers start with it."""
    return transformers_model("pocket:policy")


@pytest.fixture
def changed(reference: PreTrainedModel) -> PreTrainedModel:
    """The same model after a large step of training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return reference


def transformers_model(name: str) -> PreTrainedModel:
    """A model loaded by transformers, in float32."""
    return AutoModelForCausalLM.from_pretrained(locate_model(name), dtype=torch.float32).eval()


def log_probs_of(
    model: PreTrainedModel, prompt: list[int], sampled: list[int], temperature: float = 1.0
) -> list[float]:
    """The model's log-probs of the sampled ids after the prompt."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + sampled])).logits[0, len(prompt) - 1 : -1]
    rows = torch.log_softmax(logits / temperature, dim=-1)
    return rows.gather(1, torch.tensor(sampled)[:, None])[:, 0].tolist()
