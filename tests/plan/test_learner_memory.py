"""What a learner holds: every weight or adapters alone, with and without checkpointing."""

from pathlib import Path

import pytest

from curio_ray.config.learner import LearnerConfig, LoraConfig
from curio_ray.model_paths import locate_model
from curio_ray.plan.check import adapter_problems
from curio_ray.plan.memory import adapter_parameters, learner_parts
from curio_ray.plan.model_size import ModelSize, read_size
from curio_ray.plan.models import find_model

SEVEN_BILLION = ModelSize(
    parameters=7_600_000_000,
    layers=28,
    hidden=3584,
    key_value_width=512,
    intermediate=18944,
    context=32768,
)


def held(**fields: object) -> dict[str, int]:
    learner = LearnerConfig(precision="bfloat16", zero_stage=2, **fields)
    return {part.purpose: part.bytes for part in learner_parts(learner, SEVEN_BILLION, "model")}


def test_adapters_leave_the_weights_and_little_else():
    every_weight, adapters = held(), held(lora={})
    assert adapters["weights"] == pytest.approx(every_weight["weights"], rel=0.01)
    assert adapters["optimizer states"] < every_weight["optimizer states"] / 100
    assert adapters["gradients"] < every_weight["gradients"] / 100


def test_adapters_need_no_copy_of_the_start_policy():
    assert "start policy" in held()
    assert "start policy" not in held(lora={})


def test_checkpointing_keeps_the_input_of_every_layer_and_one_whole_layer():
    width, layer = 2, 12 * 3584 + 4 * 18944
    kept = held(gradient_checkpointing=True, tokens_per_pack=1)["activations"]
    assert kept == (28 * 3584 + layer) * width
    assert held(tokens_per_pack=1)["activations"] == 28 * layer * width


def test_the_parameters_of_adapters_are_those_that_a_model_gets():
    import peft
    from transformers import AutoModelForCausalLM

    folder, lora = locate_model("pocket:policy"), LoraConfig(rank=4)
    model = AutoModelForCausalLM.from_pretrained(folder)
    options = peft.LoraConfig(r=lora.rank, target_modules=lora.targets)
    peft.inject_adapter_in_model(options, model)
    actual = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    assert adapter_parameters(read_size("model", Path(folder)), lora) == actual


def test_a_layer_that_the_policy_lacks_is_named_with_those_that_it_has():
    model = find_model("servers.policy.model", "pocket:policy")
    (problem,) = adapter_problems(LoraConfig(targets=["q_proj", "qkv"]), model)
    assert "learner.lora.targets" in problem
    assert "no layer 'qkv'" in problem
    assert "v_proj" in problem
