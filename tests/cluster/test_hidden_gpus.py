"""Actors that asked for no GPU on a node that has some: Ray shows them all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError, ServerError
from curio_ray.learner.group import LearnerRank
from curio_ray.plan import Machine, check_plan, make_plan
from curio_ray.rollout.runner import DialogueRunner
from curio_ray.serving.server import ModelServer

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
MACHINE = Machine(available_bytes=2**36, cores=16, gpus=2)
NODE = {"env_vars": {"CUDA_VISIBLE_DEVICES": "0,1"}}


def visible(actor_class: type, *arguments: Any) -> str | None:
    """What a process of the class lets its libraries see on a node with two GPUs."""
    options = {"num_cpus": 0, "runtime_env": NODE}
    actor = ray.remote(actor_class).options(**options).remote(*arguments)
    seen = ray.get(actor.__ray_call__.remote(lambda _: os.environ.get("CUDA_VISIBLE_DEVICES")))
    ray.kill(actor)
    return seen


Arguments = Callable[[RunConfig], tuple[Any, ...]]
KINDS: dict[type, Arguments] = {
    ModelServer: lambda run: ("policy", run.servers["policy"]),
    LearnerRank: lambda run: (run, "pocket:policy", 0),
    DialogueRunner: lambda run: (run.model_dump(mode="json"), 1),
}


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_actor_without_gpus_sees_none(kind: type) -> None:
    assert visible(kind, *KINDS[kind](load_config(POCKET))) == ""


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("kind", [ModelServer, LearnerRank], ids=lambda kind: kind.__name__)
def test_an_actor_with_a_part_of_a_gpu_sees_what_ray_shows(kind: type) -> None:
    on_gpus = ["servers.policy.gpus=0.5", "learner.gpus_per_rank=0.5"]
    assert visible(kind, *KINDS[kind](load_config(POCKET, on_gpus))) == "0,1"


@pytest.fixture
def _gpu_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python knows of an environment with the wheel for GPUs, without the wheel."""
    facts = tmp_path / "vllm-0.32.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("_gpu_build")
def test_servers_on_cpus_are_refused_where_vllm_is_a_build_for_gpus() -> None:
    with pytest.raises(ConfigError, match=r"servers\.frozen\.gpus: 0 means a CPU, and the inst"):
        check_plan(make_plan(load_config(POCKET)), MACHINE)


@pytest.mark.usefixtures("_gpu_build", "local_ray")
@pytest.mark.slow
def test_a_server_on_a_cpu_says_so_on_a_node_with_the_build_for_gpus(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    options = {"num_cpus": 0, "runtime_env": {"env_vars": {"PYTHONPATH": paths}}}
    config = load_config(POCKET).servers["frozen"]
    actor = ray.remote(ModelServer).options(**options).remote("frozen", config)
    with pytest.raises(ServerError, match=r"servers\.frozen\.gpus: 0 means a CPU"):
        ray.get(actor.ready.remote())
    ray.kill(actor)


def test_servers_on_cpus_work_with_the_build_for_cpus() -> None:
    check_plan(make_plan(load_config(POCKET)), MACHINE)
