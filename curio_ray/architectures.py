"""Which architectures the learner repeats, by the name in a model's config.json.

Each name is tried with a tiny model of its class; `learner/architecture.py` compares every model
again when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REPEATED = frozenset(
    {
        "DeepseekV3ForCausalLM",
        "Ernie4_5ForCausalLM",
        "GPT2LMHeadModel",
        "GPTBigCodeForCausalLM",
        "GPTNeoXForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration",
        "GemmaForCausalLM",
        "Glm4ForCausalLM",
        "GlmForCausalLM",
        "HeliumForCausalLM",
        "LlamaForCausalLM",
        "Ministral3ForCausalLM",
        "MistralForCausalLM",
        "MixtralForCausalLM",
        "OPTForCausalLM",
        "Olmo2ForCausalLM",
        "Olmo3ForCausalLM",
        "Phi3ForCausalLM",
        "PhiForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen2MoeForCausalLM",
        "Qwen3ForCausalLM",
        "Qwen3MoeForCausalLM",
        "SeedOssForCausalLM",
        "SmolLM3ForCausalLM",
        "Starcoder2ForCausalLM",
    }
)
"""The learner's log-probabilities are those of transformers, packed or alone."""

ALONE = frozenset(
    {
        "BambaForCausalLM",
        "FalconH1ForCausalLM",
        "GraniteMoeHybridForCausalLM",
        "JambaForCausalLM",
        "Lfm2ForCausalLM",
        "NemotronForCausalLM",
        "Qwen3NextForCausalLM",
        "Qwen3_5ForCausalLM",
        "RecurrentGemmaForCausalLM",
        "StableLmForCausalLM",
    }
)
"""Right where every dialogue has a pass of its own, wrong in packs."""

ATTENTION = "has attention of its own kind, such as sinks or a bias of positions"
HEAD = "changes its logits after the output head"
NOT_REPLACED = "has layers that do not use the learner's attention"

REFUSED: Mapping[str, str] = {
    "BloomForCausalLM": NOT_REPLACED,
    "Cohere2ForCausalLM": HEAD,
    "CohereForCausalLM": HEAD,
    "FalconForCausalLM": NOT_REPLACED,
    "GPTJForCausalLM": NOT_REPLACED,
    "GPTNeoForCausalLM": NOT_REPLACED,
    "GptOssForCausalLM": ATTENTION,
    "GraniteForCausalLM": HEAD,
    "Llama4ForCausalLM": NOT_REPLACED,
    "Mamba2ForCausalLM": NOT_REPLACED,
    "MambaForCausalLM": NOT_REPLACED,
    "MptForCausalLM": NOT_REPLACED,
}
"""What each does that the learner does not repeat."""


FUSED_EXPERTS = frozenset(
    {
        "DeepseekV3ForCausalLM",
        "MixtralForCausalLM",
        "Qwen2MoeForCausalLM",
        "Qwen3MoeForCausalLM",
    }
)
"""transformers keeps their experts in one tensor, under a name that vLLM does not load."""


def architecture_of(values: Mapping[str, Any]) -> str:
    """The name of the class that the values of a config.json tell, or its model type."""
    names = values.get("architectures") or [values.get("model_type", "unknown")]
    return str(names[0])


def sees_other_dialogues(architecture: str) -> str:
    """What is wrong with packs of a model of `ALONE`, and what to write."""
    return (
        f"{architecture} keeps state across positions, or its attention is not told where a "
        "dialogue begins; packed dialogues would see each other; write learner.tokens_per_pack: 1, "
        "which gives every dialogue a pass of its own, or choose another model"
    )


def not_repeated(architecture: str, what: str) -> str:
    """What an architecture does that the learner does not repeat."""
    return (
        f"{architecture} {what}; the learner's log-probabilities would be wrong; choose another "
        "model"
    )


def learner_problem(architecture: str, tokens_per_pack: int) -> str | None:
    """Why the learner would refuse an architecture, as far as the lists know."""
    if architecture in REFUSED:
        return not_repeated(architecture, REFUSED[architecture])
    if architecture in ALONE and tokens_per_pack > 1:
        return sees_other_dialogues(architecture)
    return None


def weights_problem(architecture: str, backend: str) -> str | None:
    """Why servers would not get what was learned, as far as the list knows."""
    if architecture in FUSED_EXPERTS and backend != "adapters":
        return (
            f"{architecture} has experts whose weights servers cannot take from the learner; they "
            "would sample from others than were learned; choose another model (weights.backend: "
            "adapters with learner.lora.targets in its attention was never tried)"
        )
    return None
