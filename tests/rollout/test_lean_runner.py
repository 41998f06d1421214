"""A dialogue runner's process holds no more than it needs, and RLlib still drives it."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import ray
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.actor_manager import FaultTolerantActorManager

from curio_ray.roles.chat import ChatFormat
from curio_ray.rollout.runner import DialogueRunner, RolloutBatch

TORCH_AFTERWARDS = """
from curio_ray.heavy_imports import import_transformers_without_torch

import_transformers_without_torch()
import torch

assert torch.ones(2).sum() == 2
"""

TORCH_BEFORE = """
import torch
from curio_ray.heavy_imports import import_transformers_without_torch

import_transformers_without_torch()
from transformers import AutoModelForCausalLM

AutoModelForCausalLM.from_config
"""


@dataclass
class Held:
    """What a runner's process had imported and what came back after it held dialogues."""

    modules: set[str]
    batch: RolloutBatch


@pytest.fixture(scope="module")
def held(rollouts) -> Iterator[Held]:
    actor = ray.remote(DialogueRunner).options(num_cpus=0)
    runner = actor.remote(rollouts.config.model_dump(mode="json"), 1)
    manager = FaultTolerantActorManager([runner])
    request = {
        "assignments": rollouts.assignments(2),
        "options": rollouts.options(),
        "replicas": rollouts.servers.handles(),
    }
    (answer,) = manager.foreach_actor("sample", kwargs=request)
    (modules,) = manager.foreach_actor(lambda _: set(sys.modules))
    yield Held(modules.get(), answer.get())
    manager.clear()


def test_a_dialogue_runner_does_not_import_torch(held):
    assert "torch" not in held.modules


def test_a_dialogue_runner_does_not_import_rllib(held):
    assert not [name for name in held.modules if name.startswith("ray.rllib")]


def test_rllib_calls_a_dialogue_runner_and_gets_its_dialogues(held):
    assert len(held.batch.dialogues) == 2


def test_a_runner_without_torch_writes_the_same_prompts(held, rollouts):
    chat = ChatFormat.load(rollouts.config.servers["policy"].model)
    prompts = [chat.open(rollouts.task.policy_prompt(each.user)) for each in held.batch.dialogues]
    assert [each.prompt_ids for each in held.batch.dialogues] == prompts


def test_rllib_takes_a_dialogue_runner_for_an_env_runner():
    import curio_ray.rollout.runner_pool  # noqa: F401 - declares it

    assert issubclass(DialogueRunner, EnvRunner)


@pytest.mark.parametrize("program", [TORCH_AFTERWARDS, TORCH_BEFORE])
def test_a_task_in_a_runner_can_use_torch(program):
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
