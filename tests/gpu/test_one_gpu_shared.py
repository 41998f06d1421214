"""A server and a learner rank on parts of one GPU: start, pushes into a live engine, a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from curio_ray.config import RunConfig, load_config
from curio_ray.learner.group import LearnerGroup
from curio_ray.learner.policy_weights import PolicyWeights
from curio_ray.placement.reservation import Reservation, reserve
from curio_ray.serving.client import ServerClient
from curio_ray.serving.launch import ServerSet, start_servers
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.training.supervisor import Supervisor

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
PROMPT = [int(7 * n % 50 + 5) for n in range(70)]
SHARED = (
    "servers.policy.gpus=0.4", "servers.frozen.gpus=0.1", "learner.gpus_per_rank=0.5",
    "learner.placement.beside=policy", "servers.policy.dtype=float32",
    "servers.policy.engine=async", "servers.policy.kv_cache_gib=2",
)  # fmt: skip
LORA = "learner.lora={rank: 4, targets: [q_proj, v_proj, o_proj, up_proj, down_proj]}"
BACKENDS = {
    "shared_memory": ("weights.backend=shared_memory",),
    "adapters": ("weights.backend=adapters", LORA),
    "ipc": ("weights.backend=ipc",),
}


class Shared:
    """Servers and learner of the pocket models, with the supervisor that joins them."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.places: Reservation = reserve(config)
        self.learner = LearnerGroup(config, self.places)
        self.learner.start()
        # the learner's share is taken before the server looks for its own
        self.learner.wait_ready()
        self.servers: ServerSet = start_servers(config, self.places)
        self.supervisor = Supervisor(config, self.servers, self.learner)
        self.supervisor.wait_ready()
        self.supervisor.join()

    def ask(self, request: GenerateRequest) -> GenerateResult:
        async def converse() -> GenerateResult:
            client = ServerClient("policy", self.servers.replicas("policy"), 120, 120)
            try:
                return await client.generate(request, "a")
            finally:
                await client.close()

        return asyncio.run(converse())

    def close(self) -> None:
        self.supervisor.close()
        self.learner.shutdown()
        self.servers.shutdown()
        self.places.release()


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def shared(request: pytest.FixtureRequest, no_ray: None) -> Iterator[Shared]:
    ray.init(address="local", num_cpus=8, num_gpus=1, include_dashboard=False, log_to_driver=False)
    made = Shared(load_config(POCKET, [*SHARED, *request.param]))
    yield made
    made.close()
    ray.shutdown()


def change(rank: Any) -> None:
    """A large step of every trained weight, in the rank's process."""
    import torch

    engine = rank._engine
    with torch.no_grad():
        for parameter in engine.language_model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)


def expected(rank: Any, prompt: list[int], sampled: list[int]) -> list[float]:
    """The log-probs of sampled tokens by the weights that the rank would send."""
    import torch
    from transformers import AutoModelForCausalLM

    weights: PolicyWeights = rank._engine.policy_weights
    plain = AutoModelForCausalLM.from_pretrained(rank._model_path, dtype=torch.float32)
    plain.load_state_dict(dict(weights.named_tensors(torch.float32)), strict=False)
    with torch.no_grad():
        logits = plain(torch.tensor([prompt + sampled])).logits[0, len(prompt) - 1 : -1]
    rows = torch.log_softmax(logits, dim=-1)
    return rows.gather(1, torch.tensor(sampled)[:, None])[:, 0].tolist()


def test_three_pushes_into_a_live_engine_leave_it_with_the_learners_weights(shared: Shared) -> None:
    (rank,) = shared.learner.ranks
    for version in (1, 2, 3):
        ray.get(rank.__ray_call__.remote(change))
        shared.supervisor.push(version)
        answer = shared.ask(GenerateRequest(PROMPT, max_tokens=12, seed=version))
        wanted = ray.get(rank.__ray_call__.remote(expected, PROMPT, answer.token_ids))
        assert answer.log_probs == pytest.approx(wanted, abs=5e-3)
        assert set(answer.weight_versions) == {version}


def test_a_killed_server_finds_its_part_of_the_gpu_free_again(shared: Shared) -> None:
    (server,) = shared.servers.replicas("policy")
    ray.kill(server, no_restart=False)
    ray.get(server.ready_again.options(max_task_retries=-1).remote(), timeout=600)
