"""What a plan says of the hardware that the parts of a config have run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.plan.tried import tried_parts

CONFIGS = Path(__file__).parents[2] / "configs"


def untried(name: str, *overrides: str) -> list[str]:
    config = load_config(CONFIGS / f"{name}.yaml", overrides)
    return [part.words for part in tried_parts(config) if not part.on]


@pytest.mark.parametrize("name", ["pocket", "smollm2", "education_pocket", "pocket_changing"])
def test_all_of_a_run_on_cpus_has_run(name: str) -> None:
    assert untried(name) == []


def test_adapters_have_run_on_cpus() -> None:
    lora = "learner.lora={rank: 4, targets: [q_proj]}"
    assert untried("pocket", "weights.backend=adapters", lora) == []


def test_nothing_between_gpus_has_run() -> None:
    assert untried("education_gemma") == [
        "servers on GPUs",
        "4 ranks on GPUs",
        "weights.backend: nccl to servers on GPUs",
    ]


def test_neither_a_shared_gpu_nor_a_divided_model_has_run() -> None:
    assert "servers and learner that share a GPU" in untried("one_gpu_24gb")
    assert "a model over several processes (tensor_parallel)" in untried("education_32_gpus")


def test_a_backend_of_a_users_own_has_not_run() -> None:
    assert untried("pocket", "weights.backend=mine:Sync") == [
        "weights.backend: mine:Sync to servers on CPUs"
    ]
