"""`curio plan` shows what a run needs and starts nothing."""

from pathlib import Path

import pytest

import curio_ray
from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.plan import Machine, check_plan, make_plan
from curio_ray.tasks.exercise.task import ExerciseTask

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


class JudgedTask(ExerciseTask):
    """A task that only the reward model can score."""

    def rule_score(self, user, turns):
        return None


def test_plan_shows_every_role_with_its_server(curio):
    ended = curio("plan", str(POCKET))
    assert ended.code == 0, ended.error
    for role, server in (
        ("policy", "policy"),
        ("environment", "frozen"),
        ("user_model", "frozen"),
        ("reward_model", "frozen"),
    ):
        assert any(line.split()[:2] == [role, server] for line in ended.output.splitlines())


def test_plan_shows_bundles_memory_and_volume(curio):
    output = curio("plan", str(POCKET)).output
    for words in ("learner rank", "dialogue runner", "optimizer states", "KV cache", "together"):
        assert words in output
    training = load_config(POCKET).training
    iterations, each = training.iterations, training.dialogues_per_iteration
    assert f"{iterations * each:,} ({iterations} iterations of {each})" in output


def test_plan_imports_nothing_heavy_but_what_reads_tokenizers(curio):
    assert curio("plan", str(POCKET)).heavy_modules == ["transformers"]


def test_version_is_the_package_version(curio):
    assert curio("--version").output.strip() == f"curio {curio_ray.__version__}"


def test_memory_error_names_the_value_that_fits():
    plan = make_plan(load_config(POCKET, ["servers.frozen.kv_cache_gib=16"]))
    with pytest.raises(
        ConfigError, match=r"servers\.frozen\.kv_cache_gib: 16\.00 GiB; write (\S+)"
    ):
        check_plan(plan, Machine(available_bytes=12 * 2**30, cores=2, gpus=0))
    fitting = make_plan(load_config(POCKET, ["servers.frozen.kv_cache_gib=7"]))
    check_plan(fitting, Machine(available_bytes=12 * 2**30, cores=2, gpus=0))


def test_a_rule_is_asked_for_only_where_the_task_has_one():
    wanted = [f"task.name={__name__}:JudgedTask", "rewards.task.source=rule"]
    with pytest.raises(ConfigError, match=r"rewards\.task\.source: .* write reward_model"):
        check_plan(make_plan(load_config(POCKET, wanted)), Machine(12 * 2**30, cores=2, gpus=0))


def test_gpu_weights_are_not_counted_in_main_memory():
    on_cpu = make_plan(load_config(POCKET))
    on_gpu = make_plan(load_config(POCKET, ["servers.frozen.gpus=1"]))
    assert on_gpu.memory_bytes < on_cpu.memory_bytes
    assert on_gpu.gpus == 1


def test_sharding_divides_the_optimizer_states():
    def states(*overrides: str) -> int:
        plan = make_plan(load_config(POCKET, overrides))
        return sum(part.bytes for part in plan.memory if part.purpose == "optimizer states")

    replicated = states("learner.ranks=2", "learner.zero_stage=0")
    sharded = states("learner.ranks=2", "learner.zero_stage=1")
    assert replicated == 2 * 8 * _parameters()
    assert sharded == (4 + 8) * _parameters()


def test_fewer_held_out_users_than_asked_is_a_warning():
    plan = make_plan(load_config(POCKET, ["task.options.held_out_users=16"]))
    assert any(warning.startswith("evaluation.users: the task has 16") for warning in plan.warnings)
    assert plan.evaluated_users == 16


def _parameters() -> int:
    size = make_plan(load_config(POCKET)).models["policy"].size
    assert size is not None
    return size.parameters
