"""What a learner holds: every weight or adapters alone, with and without checkpointing."""

from pathlib import Path

import pytest

from curio_ray.config.learner import LearnerConfig, LoraConfig
from curio_ray.model_paths import locate_model
from curio_ray.plan.check import adapter_problems
from curio_ray.plan.memory import adapter_parameters, learner_parts
from curio_ray.plan.model_size import ModelSize, known_size, read_size
from curio_ray.plan.models import find_model

SEVEN_BILLION = ModelSize(
    parameters=7_600_000_000,
    layers=28,
    hidden=3584,
    key_value_width=512,
    intermediate=18944,
    context=32768,
)


GIB = 2**30


def held(
    size: ModelSize = SEVEN_BILLION, longest: int = 1, tokens: int = 10**6, **fields: object
) -> dict[str, int]:
    learner = LearnerConfig(precision="bfloat16", zero_stage=2, **fields)
    parts = learner_parts(learner, size, "model", longest, tokens)
    return {part.purpose: part.bytes for part in parts}


def test_adapters_leave_the_weights_and_little_else():
    every_weight, adapters = held(), held(lora={})
    assert adapters["weights"] == pytest.approx(every_weight["weights"], rel=0.01)
    assert adapters["optimizer states"] < every_weight["optimizer states"] / 100
    assert adapters["gradients"] < every_weight["gradients"] / 100


def test_adapters_need_no_copy_of_the_start_policy():
    assert "start policy" in held()
    assert "start policy" not in held(lora={})


def test_the_state_to_go_back_to_is_kept_only_where_updates_may_be_taken_back():
    assert held()["state to go back to"] == 12 * SEVEN_BILLION.parameters
    assert held(lora={})["state to go back to"] < SEVEN_BILLION.parameters / 10
    assert "state to go back to" not in held(max_update_kl=None)


def test_checkpointing_keeps_the_input_of_every_layer_and_one_whole_layer():
    width, layer = 2, 12 * 3584 + 4 * 18944
    kept = held(gradient_checkpointing=True, tokens_per_pack=1)["activations"]
    assert kept == (28 * 3584 + layer) * width
    assert held(tokens_per_pack=1)["activations"] == 28 * layer * width


@pytest.mark.parametrize(("longest", "least", "most"), [(1024, 58, 66), (2048, 70, 80)])
def test_a_model_with_capped_scores_takes_what_its_attention_keeps(
    longest: int, least: float, most: float
) -> None:
    gemma = known_size("google/gemma-2-2b-it")
    fields = {"tokens_per_pack": 8192, "gpus_per_rank": 1, "ranks": 4, "max_update_kl": None}
    kept = held(gemma, longest, **fields)
    few = held(gemma, longest, gradient_checkpointing=True, **fields)
    together, checkpointed = (sum(parts.values()) / 4 / GIB for parts in (kept, few))
    assert least < together < most
    assert checkpointed < together / 2


def test_a_fused_kernel_keeps_no_scores() -> None:
    qwen = known_size("Qwen/Qwen2.5-1.5B-Instruct")
    short, long = (held(qwen, n, tokens_per_pack=8192)["activations"] for n in (512, 2048))
    assert short == long


def test_a_pack_holds_a_whole_dialogue_and_no_more_than_there_is() -> None:
    one = held(tokens_per_pack=1)["activations"]
    assert held(longest=500, tokens_per_pack=1)["activations"] == 500 * one
    assert held(tokens=16_000, tokens_per_pack=10**9)["activations"] == 16_000 * one


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
