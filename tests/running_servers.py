"""Servers of the pocket models for one module, and the policy's model in transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from shared_servers import POCKET_CONFIG, Running, start
from transformers import AutoModelForCausalLM, PreTrainedModel

from curio_ray.config import load_config
from curio_ray.model_paths import locate_model
from curio_ray.serving.launch import ServerSet
from curio_ray.weights.sync import WeightSender, make_weight_sync


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
def make_running(local_ray: None) -> Iterator[Callable[..., Running]]:
    """Starts servers of the pocket config with overrides, for this module alone."""
    started: list[ServerSet] = []

    def make(*overrides: str) -> Running:
        config = load_config(POCKET_CONFIG, overrides)
        started.append(start(config))
        return Running(config, started[-1])

    yield make
    for servers in started:
        servers.shutdown()


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
