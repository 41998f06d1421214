"""Models whose packs the learner would misread end it when it loads them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from curio_ray.errors import LearnerError

OPTIONS: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ZeRO-3": {"zero_stage": 3},
    "ZeRO-3 in bfloat16": {"zero_stage": 3, "precision": "bfloat16"},
    "adapters": {"lora": {"rank": 2}},
    "adapters under ZeRO-3": {"lora": {"rank": 2}, "zero_stage": 3},
    "gradient checkpointing": {"gradient_checkpointing": True},
}


@pytest.fixture(scope="module")
def hybrid_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Convolutions pass state on from token to token."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    folder = str(tmp_path_factory.mktemp("hybrid"))
    torch.manual_seed(0)
    kinds = ["conv", "full_attention"]
    config = Lfm2Config(
        **OPTIONS, conv_L_cache=3, layer_types=kinds, block_auto_adjust_ff_dim=False
    )
    Lfm2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_keeps_state_across_positions_ends_the_learner_by_name(
    make_engine: Callable[..., Any], hybrid_model_folder: str, way: str
) -> None:
    with pytest.raises(LearnerError, match="Lfm2ForCausalLM keeps state across positions"):
        make_engine(hybrid_model_folder, **WAYS[way])


def test_a_model_that_keeps_state_may_read_each_dialogue_alone(
    make_engine: Callable[..., Any], hybrid_model_folder: str, make_sequences: Callable[..., Any]
) -> None:
    engine = make_engine(hybrid_model_folder, tokens_per_pack=1)
    assert engine.update(make_sequences(4))["kl"] == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_llama_is_accepted_in_every_way_of_learning(
    make_engine: Callable[..., Any], wide_model_folder: str, way: str
) -> None:
    assert make_engine(wide_model_folder, **WAYS[way]).rank == 0


def test_a_model_that_scales_its_logits_is_refused(
    make_engine: Callable[..., Any], tmp_path: Path
) -> None:
    from transformers import GraniteConfig, GraniteForCausalLM

    GraniteForCausalLM(GraniteConfig(**OPTIONS, logits_scaling=8.0)).save_pretrained(tmp_path)
    with pytest.raises(LearnerError, match="GraniteForCausalLM changes its logits after"):
        make_engine(str(tmp_path))


def test_weights_that_lack_a_tensor_are_not_drawn_at_random(
    make_engine: Callable[..., Any], model_folder: str, tmp_path: Path
) -> None:
    shutil.copytree(model_folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(LearnerError, match=r"the weights lack lm_head\.weight"):
        make_engine(str(tmp_path))


def test_a_first_step_away_from_the_start_policy_ends_the_learner(
    make_engine: Callable[..., Any], untied_model_folder: str, make_sequences: Callable[..., Any]
) -> None:
    engine = make_engine(untied_model_folder)
    head = engine.reference.log_prob_head.weight
    with torch.no_grad():
        head.copy_(torch.randn_like(head))  # as if the folder had none
    with pytest.raises(LearnerError, match="the first step has a KL divergence of"):
        engine.update(make_sequences(4))


def test_a_later_step_may_be_far_from_the_start_policy(
    make_engine: Callable[..., Any], make_sequences: Callable[..., Any]
) -> None:
    engine = make_engine(learning_rate=0.1, minibatches=2)
    engine.update(make_sequences(4))
    assert engine.update(make_sequences(4))["kl"] > 1e-3
