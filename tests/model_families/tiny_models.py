"""Tiny models of many architectures, from their config classes, with random weights.

Weights are spread widely, so that attention and logits are far from uniform and a token that sees
what it must not see shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

VOCABULARY = 64

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
HEADS = {"head_dim": 8}
WINDOW = {"sliding_window": 8}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8}
OLD_NAMES = {"n_embd": 32, "n_layer": 2, "n_head": 4}

OPTIONS: dict[str, dict[str, Any]] = {
    "BambaForCausalLM": {**MAMBA, "attn_layer_indices": [1]},
    "BloomForCausalLM": {"n_layer": 2, "n_head": 4},
    "Cohere2ForCausalLM": {},
    "CohereForCausalLM": {},
    "DeepseekV3ForCausalLM": {
        "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1, "n_group": 1,
        "topk_group": 1,
    },
    "Ernie4_5ForCausalLM": HEADS,
    "FalconForCausalLM": {},
    "FalconH1ForCausalLM": {**MAMBA, "mamba_d_ssm": 64, "mamba_n_groups": 2},
    "GPT2LMHeadModel": {**OLD_NAMES, "n_positions": 128},
    "GPTBigCodeForCausalLM": {**OLD_NAMES, "n_positions": 128},
    "GPTJForCausalLM": {**OLD_NAMES, "n_positions": 128, "rotary_dim": 8},
    "GPTNeoForCausalLM": {
        "num_layers": 2, "num_heads": 4, "window_size": 8, "max_position_embeddings": 128,
        "attention_types": [[["global", "local"], 1]],
    },
    "GPTNeoXForCausalLM": {},
    "Gemma2ForCausalLM": {
        **HEADS, **WINDOW, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
        "query_pre_attn_scalar": 8,
    },
    "Gemma3ForCausalLM": {**HEADS, **WINDOW},
    "GemmaForCausalLM": HEADS,
    "Glm4ForCausalLM": HEADS,
    "GlmForCausalLM": HEADS,
    "GptOssForCausalLM": {
        **HEADS, **WINDOW, **EXPERTS, "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "GraniteForCausalLM": {"logits_scaling": 8.0},
    "GraniteMoeHybridForCausalLM": {
        **MAMBA, "num_local_experts": 0, "shared_intermediate_size": 64,
        "layer_types": ["mamba", "attention"],
    },
    "HeliumForCausalLM": HEADS,
    "JambaForCausalLM": {
        "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8,
    },
    "Lfm2ForCausalLM": {
        "conv_L_cache": 3, "layer_types": ["conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
    },
    "Llama4ForCausalLM": {
        **HEADS, "num_local_experts": 2, "intermediate_size_mlp": 64, "attention_chunk_size": 4,
    },
    "LlamaForCausalLM": {},
    "Mamba2ForCausalLM": {
        "num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 2, "chunk_size": 8,
    },
    "MambaForCausalLM": {"state_size": 8},
    "Ministral3ForCausalLM": HEADS,
    "MistralForCausalLM": WINDOW,
    "MixtralForCausalLM": EXPERTS,
    "MptForCausalLM": {"d_model": 32, "n_layers": 2, "n_heads": 4},
    "NemotronForCausalLM": {},
    "OPTForCausalLM": {
        "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 128, "init_std": 0.3,
    },
    "Olmo2ForCausalLM": {},
    "Olmo3ForCausalLM": {},
    "Phi3ForCausalLM": {},
    "PhiForCausalLM": {},
    "Qwen2ForCausalLM": {},
    "Qwen2MoeForCausalLM": {**QWEN_EXPERTS, "shared_expert_intermediate_size": 32},
    "Qwen3ForCausalLM": HEADS,
    "Qwen3MoeForCausalLM": {**HEADS, **QWEN_EXPERTS},
    "Qwen3NextForCausalLM": {
        **HEADS, **LINEAR, **QWEN_EXPERTS, "shared_expert_intermediate_size": 32,
    },
    "RecurrentGemmaForCausalLM": {"lru_width": 32, "block_types": ["recurrent", "attention"]},
    "SeedOssForCausalLM": HEADS,
    "SmolLM3ForCausalLM": {},
    "StableLmForCausalLM": {},
    "Starcoder2ForCausalLM": {},
}  # fmt: skip
"""By architecture: what its config has besides `COMMON`."""

# Heads of 32, which vLLM's attention on a CPU takes.
_WIDE = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 128}
FOR_VLLM: dict[str, dict[str, Any]] = {
    "any": _WIDE,
    **{
        name: {**_WIDE, "head_dim": 32}
        for name, options in OPTIONS.items() if "head_dim" in options
    },
    "GPT2LMHeadModel": {"n_embd": 128, "hidden_size": 128},
    "Gemma2ForCausalLM": {**_WIDE, "head_dim": 32, "query_pre_attn_scalar": 32},
}  # fmt: skip
"""By architecture: what makes its tiny model one that vLLM serves on a CPU."""

OTHER_CONFIGS = {
    "Gemma3ForCausalLM": "Gemma3TextConfig",
    "GPT2LMHeadModel": "GPT2Config",
    "Llama4ForCausalLM": "Llama4TextConfig",
    "Qwen3_5ForCausalLM": "Qwen3_5TextConfig",
}
OPTIONS["Qwen3_5ForCausalLM"] = {**HEADS, **LINEAR}


def tiny_model(architecture: str, **changes: Any) -> Any:
    """A model of this class, always the same."""
    import torch
    import transformers

    torch.manual_seed(0)
    if architecture == "Gemma3ForConditionalGeneration":
        config = _gemma_3_with_eyes()
    else:
        kind = OTHER_CONFIGS.get(architecture, architecture.removesuffix("ForCausalLM") + "Config")
        values: Mapping[str, Any] = {**COMMON, **OPTIONS[architecture], **changes}
        config = getattr(transformers, kind)(**values)
    return getattr(transformers, architecture)(config)


def save_tiny_model(architecture: str, folder: Path, **changes: Any) -> str:
    """Write it as a Hugging Face folder."""
    tiny_model(architecture, **changes).save_pretrained(folder)
    return str(folder)


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer that has a word for every id."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {f"w{token}": token for token in range(VOCABULARY)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))


def _gemma_3_with_eyes() -> Any:
    import transformers

    seen = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    return transformers.Gemma3Config(
        text_config={**COMMON, **HEADS, **WINDOW}, vision_config=seen, mm_tokens_per_image=1
    )
