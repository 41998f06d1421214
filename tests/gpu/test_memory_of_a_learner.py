"""What the learner holds on a GPU, against what `curio plan` says: Gemma 2 2B's shape."""

from __future__ import annotations

import pytest
import torch

from curio_ray.learner.attention import register_packed_attention
from curio_ray.learner.model import PolicyModel
from curio_ray.learner.packing import pack_tensors
from curio_ray.learner.sequences import TrainingSequence
from curio_ray.plan.memory import learner_parts
from curio_ray.plan.model_size import known_size

pytestmark = pytest.mark.gpu

GIB = 2**30
TOKENS = 8192


def gemma(checkpointing: bool) -> PolicyModel:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    values = {
        "vocab_size": 256_000, "hidden_size": 2304, "num_hidden_layers": 26, "head_dim": 256,
        "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 9216,
        "query_pre_attn_scalar": 256,
    }  # fmt: skip
    config = Gemma2Config(**values, attn_implementation=register_packed_attention())
    with torch.device("cuda"):
        model = Gemma2ForCausalLM(config).bfloat16()
    if checkpointing:
        model.gradient_checkpointing_enable()
    return PolicyModel(model.train(), 1.0)


def sequences(length: int) -> list[TrainingSequence]:
    import numpy as np

    action = np.ones(length, dtype=bool)
    action[0] = False
    zeros = np.zeros(length, dtype=np.float32)
    ids = np.arange(length) % 1000
    made = TrainingSequence(ids, action, zeros, np.zeros(1, dtype=np.int64), zeros, zeros[:1])
    return [made] * (TOKENS // length)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("length", [1024, 2048])
def test_a_pack_of_gemma_takes_what_the_plan_says(length: int, checkpointing: bool) -> None:
    from curio_ray.config.learner import LearnerConfig

    learner = LearnerConfig(
        precision="bfloat16", zero_stage=1, gpus_per_rank=1, kl_coefficient=0.0,
        tokens_per_pack=TOKENS, gradient_checkpointing=checkpointing,
    )  # fmt: skip
    parts = learner_parts(learner, known_size("google/gemma-2-2b-it"), "model", length, TOKENS)
    planned = sum(
        each.bytes
        for each in parts
        if each.purpose in ("weights", "gradients", "activations", "logits")
    )
    model = gemma(checkpointing)
    torch.cuda.reset_peak_memory_stats()
    model(pack_tensors(sequences(length), torch.device("cuda"))).sum().backward()
    assert torch.cuda.max_memory_allocated() == pytest.approx(planned, rel=0.15), (
        f"{torch.cuda.max_memory_allocated() / GIB:.1f} GiB, planned {planned / GIB:.1f}"
    )
