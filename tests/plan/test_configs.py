"""Every config that ships can be planned, without the models and without a hub."""

from functools import cache
from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.model_paths import locate_model
from curio_ray.plan import Machine, Plan, check_plan, make_plan
from curio_ray.plan.devices import GPUS
from curio_ray.plan.gpu_memory import gpu_needs, gpu_problems
from curio_ray.plan.throughput import estimate_throughput

CONFIGS = Path(__file__).parents[2] / "configs"
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
ON_GPUS = {
    "exercise_gemma": 8,
    "education_gemma": 8,
    "exercise_qwen": 8,
    "education_qwen": 8,
    "education_32_gpus": 32,
}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))


@cache
def plan_of(name: str, *overrides: str) -> Plan:
    return make_plan(load_config(CONFIGS / f"{name}.yaml", overrides))


@pytest.mark.parametrize("name", ON_GPUS)
def test_a_gpu_config_works_on_the_gpus_that_it_names(name):
    plan = plan_of(name)
    check_plan(plan, Machine(available_bytes=0, cores=1, gpus=0))
    assert list(gpu_problems(plan, GPUS["H100"])) == []
    assert list(gpu_problems(plan, GPUS["A100-80G"])) == []


@pytest.mark.parametrize(("name", "gpus"), ON_GPUS.items())
def test_a_gpu_config_asks_for_the_gpus_that_it_names(name, gpus):
    assert plan_of(name).gpus == gpus


@pytest.mark.parametrize("name", ON_GPUS)
def test_the_longest_contexts_of_a_gpu_config_fit_by_estimate(name):
    plan = plan_of(name)
    for role, context in plan.contexts.items():
        server = plan.config.servers[getattr(plan.config.roles, role).server]
        assert context.tokens <= server.max_model_len


@pytest.mark.parametrize("name", ON_GPUS)
def test_every_model_of_a_gpu_config_has_a_known_size(name):
    assert all(model.size is not None for model in plan_of(name).models.values())


@pytest.mark.parametrize("name", ON_GPUS)
def test_a_dialogue_can_end_before_its_deadline_by_estimate(name):
    plan = plan_of(name)
    speed = estimate_throughput(plan, GPUS["A100-80G"])
    rollout = plan.config.rollout
    waiting_s = rollout.runners * rollout.dialogues_in_flight / speed.dialogues
    assert waiting_s < rollout.dialogue_deadline_s


ONE_GPU = {"one_gpu_24gb": ("L4", "A10G"), "one_gpu_80gb": ("A100-80G", "H100")}


@pytest.mark.parametrize(("name", "kinds"), ONE_GPU.items())
def test_a_config_for_one_gpu_works_on_a_machine_with_one(name, kinds):
    plan = plan_of(name)
    check_plan(plan, Machine(available_bytes=48 * 2**30, cores=8, gpus=1))
    assert plan.gpus == 1
    for kind in kinds:
        assert list(gpu_problems(plan, GPUS[kind])) == []


@pytest.mark.parametrize("name", ONE_GPU)
def test_a_config_for_one_gpu_leaves_room_for_its_dialogues(name):
    plan = plan_of(name)
    speed, rollout = estimate_throughput(plan, GPUS[ONE_GPU[name][0]]), plan.config.rollout
    waiting_s = rollout.runners * rollout.dialogues_in_flight / speed.dialogues
    assert waiting_s < rollout.dialogue_deadline_s
    for role, context in plan.contexts.items():
        server = plan.config.servers[getattr(plan.config.roles, role).server]
        assert context.tokens <= server.max_model_len


@pytest.mark.parametrize("name", ["education_gemma", "exercise_gemma"])
def test_configs_of_models_without_a_fused_kernel_take_checkpointing(name):
    assert plan_of(name).config.learner.gradient_checkpointing


def test_two_billion_parameters_decode_in_nine_milliseconds_a_step():
    (policy,) = (
        each
        for each in estimate_throughput(plan_of("education_gemma"), GPUS["H100"]).servers
        if each.server == "policy"
    )
    # 128 sequences of 900 tokens in the mean: 5 GB of weights and 13 of keys and values
    assert 128 / policy.sampled == pytest.approx(0.009, rel=0.05)


def test_the_config_of_smollm2_fits_a_machine_of_twelve_gib():
    models = [f"servers.{name}.model={SMOLLM2}" for name in ("policy", "frozen")]
    check_plan(plan_of("smollm2", *models), Machine(12 * 2**30, cores=2, gpus=0))


def test_the_config_of_smollm2_says_what_is_missing_before_its_model_is_made():
    with pytest.raises(Exception, match=r"models/smollm2-135m: there is no such folder"):
        plan_of("smollm2")


def test_models_that_a_supervised_start_makes_are_asked_for_by_its_command(tmp_path):
    models = tmp_path / "models"
    config = load_config(
        CONFIGS / "pocket.yaml",
        [f"supervised.output={models}", f"servers.policy.model={models}/policy"],
    )
    with pytest.raises(ConfigError, match=r"^servers\.policy\.model: .*policy; `curio sft` makes"):
        make_plan(config)


def test_a_larger_model_than_the_gpu_is_named_by_its_field():
    plan = plan_of("education_gemma")
    assert any(line.startswith("servers.user_model:") for line in gpu_problems(plan, GPUS["L4"]))


def test_tensor_parallelism_divides_the_weights_of_a_gpu():
    needs = {need.holder: need for need in gpu_needs(plan_of("education_32_gpus"))}
    undivided = plan_of("education_32_gpus", "servers.user_model.tensor_parallel=1")
    alone = {need.holder: need for need in gpu_needs(undivided)}
    assert needs["server user_model"].weights * 4 == pytest.approx(
        alone["server user_model"].weights
    )


def test_more_replicas_give_more_dialogues_per_second():
    def dialogues(replicas: int) -> float:
        plan = plan_of(
            "education_gemma",
            f"servers.user_model.replicas={replicas}",
            "rollout.dialogues_in_flight=4096",
        )
        speeds = estimate_throughput(plan, GPUS["H100"]).servers
        return next(each.dialogues for each in speeds if each.server == "user_model")

    assert dialogues(4) == pytest.approx(2 * dialogues(2), rel=0.2)


def test_configs_name_no_server_that_no_role_uses():
    for path in CONFIGS.glob("*.yaml"):
        config = load_config(path)
        roles = config.roles
        used = {roles.policy.server, roles.environment.server, roles.reward_model.server}
        assert set(config.servers) == used | set(roles.user_model.servers), path.name


def test_the_pocket_models_are_still_read_from_their_folders():
    plan = plan_of("pocket")
    assert plan.models["policy"].folder == Path(locate_model("pocket:policy"))
