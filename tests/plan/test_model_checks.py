"""`curio plan` says what a model's folder tells: its architecture, and tensors that it lacks."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.model_paths import assets_folder
from curio_ray.plan import Machine, check_plan, make_plan

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
MACHINE = Machine(available_bytes=2**36, cores=64, gpus=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(assets_folder() / "policy", tmp_path / "model")


def change_config(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    kept = {name: value for name, value in config.items() if value is not None}
    file.write_text(json.dumps(kept))


def problems_of(folder: Path, *changes: str, server: str = "policy") -> str:
    plan = make_plan(load_config(POCKET, [f"servers.{server}.model={folder}", *changes]))
    with pytest.raises(ConfigError) as raised:
        check_plan(plan, MACHINE)
    return str(raised.value)


def test_a_whole_model_is_accepted(folder: Path) -> None:
    check_plan(make_plan(load_config(POCKET, [f"servers.policy.model={folder}"])), MACHINE)


def test_packs_of_a_model_that_keeps_state_are_refused_by_name(folder: Path) -> None:
    change_config(folder, architectures=["Lfm2ForCausalLM"])
    found = problems_of(folder)
    assert "servers.policy.model: Lfm2ForCausalLM keeps state across positions" in found
    assert "learner.tokens_per_pack: 1" in found


def test_a_model_with_attention_sinks_is_refused_by_name(folder: Path) -> None:
    change_config(folder, architectures=["GptOssForCausalLM"])
    assert "servers.policy.model: GptOssForCausalLM has attention of its own" in problems_of(folder)


def test_a_policy_of_experts_whose_weights_cannot_be_sent_is_refused(folder: Path) -> None:
    change_config(folder, architectures=["MixtralForCausalLM"])
    assert "MixtralForCausalLM has experts whose weights servers cannot" in problems_of(folder)


def test_a_frozen_role_may_have_any_architecture(folder: Path) -> None:
    change_config(folder, architectures=["Lfm2ForCausalLM"])
    check_plan(make_plan(load_config(POCKET, [f"servers.frozen.model={folder}"])), MACHINE)


def test_an_architecture_that_nobody_tried_is_a_warning(folder: Path) -> None:
    change_config(folder, architectures=["NewForCausalLM"])
    plan = make_plan(load_config(POCKET, [f"servers.policy.model={folder}"]))
    assert any("NewForCausalLM is not among the architectures" in each for each in plan.warnings)


@pytest.mark.parametrize("server", ["policy", "frozen"])
def test_a_tied_model_whose_config_does_not_say_so_lacks_its_head(
    folder: Path, server: str
) -> None:
    change_config(folder, tie_word_embeddings=None)
    found = problems_of(folder, server=server)
    assert f"servers.{server}.model: {folder}: the weights lack lm_head.weight" in found
    assert "write tie_word_embeddings: true" in found


def test_a_layer_that_the_weights_lack_is_named(folder: Path) -> None:
    change_config(folder, num_hidden_layers=5)
    found = problems_of(folder)
    assert "the weights lack model.layers.4.input_layernorm.weight, " in found
    assert " and 6 more" in found


def test_a_file_that_an_index_names_and_the_folder_lacks_is_an_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights, folder / "model-00001-of-00002.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    names = {name: "model-00001-of-00002.safetensors" for name in weights}
    names["model.norm.weight"] = "model-00002-of-00002.safetensors"
    index = {"metadata": {"total_size": 0}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors" in problems_of(folder)


def test_gpt_2_is_accepted_by_the_names_of_its_own_config(folder: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4, n_positions=512)
    GPT2LMHeadModel(config).save_pretrained(folder)
    plan = make_plan(load_config(POCKET, [f"servers.policy.model={folder}"]))
    check_plan(plan, MACHINE)
    size = plan.models["policy"].size
    assert size is not None
    assert (size.layers, size.hidden, size.intermediate, size.context) == (2, 32, 128, 512)


def test_a_config_without_the_sizes_of_a_language_model_is_refused_by_its_architecture(
    folder: Path,
) -> None:
    change_config(folder, num_hidden_layers=None, architectures=["WhisperForConditionalGeneration"])
    with pytest.raises(ConfigError, match=r"of WhisperForConditionalGeneration, has no 'num_hid"):
        make_plan(load_config(POCKET, [f"servers.policy.model={folder}"]))
