"""The supervised start of the four roles' models, `curio sft`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from curio_ray.config.base import Folder, Positive, Section

RoleName = Literal["policy", "environment", "user_model", "reward_model"]
FRESH = "fresh"

_HEAD_WIDTH = 32


class FreshModelConfig(Section):
    """A small Llama with random weights and a byte-level BPE tokenizer of its own."""

    layers: Positive = 4
    """Transformer layers."""
    width: Positive = 128
    """Width of the hidden states; each head has 32 numbers or a multiple."""
    heads: Positive = 4
    """Attention heads."""
    vocabulary: Annotated[int, Field(ge=300)] = 2048
    """Most tokens of the tokenizer, which is trained on the words of the training split."""
    context: Positive = 1024
    """Longest sequence in tokens."""

    @model_validator(mode="after")
    def _vllm_serves_the_heads(self) -> FreshModelConfig:
        # vLLM's attention on CPU has kernels for heads of 32, 64, 96, ... numbers only
        if self.width % (_HEAD_WIDTH * self.heads):
            raise ValueError(
                f"width: {self.width} does not divide into {self.heads} heads that vLLM serves; "
                f"write a multiple of {_HEAD_WIDTH * self.heads}"
            )
        return self


class SupervisedRoleConfig(Section):
    """How the model of one role learns from the task's recorded conversations."""

    start: str = FRESH
    """A Hugging Face id or a local folder, such as another role's; or fresh: a new small model."""
    epochs: Annotated[float, Field(gt=0)] = 1
    """Passes over the recorded conversations, or over the pairs of the reward model."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """AdamW's largest step size; it rises over the first twentieth and falls to zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decay."""
    batch_size: Positive = 16
    """Examples per optimizer step."""
    micro_batch: Positive = 16
    """Examples per forward pass, at most; it divides batch_size."""
    context_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the next-token loss on what the role does not say itself, next to 1. A fresh model
    learns the language from it."""
    moments: Positive = 2
    """User model: moments of each conversation at which it is asked, per epoch."""

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> SupervisedRoleConfig:
        if self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch: {self.batch_size} examples do not divide into passes of "
                f"{self.micro_batch}; write a divisor of batch_size"
            )
        return self


class SupervisedConfig(Section):
    """`curio sft`: models that have learned from the task's recorded conversations."""

    output: Folder = Path("runs/supervised")
    """Folder of the models; each is written to a folder of its role's name."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: mixed precision, with weights in float32."""
    threads: Positive = 1
    """Threads on CPU."""
    fresh: FreshModelConfig = FreshModelConfig()
    """The shape of models that start fresh."""
    policy: SupervisedRoleConfig = SupervisedRoleConfig()
    """Learns the policy's own words."""
    environment: SupervisedRoleConfig = SupervisedRoleConfig()
    """Learns the user's own words."""
    user_model: SupervisedRoleConfig = SupervisedRoleConfig()
    """Learns the user's type after each exchange."""
    reward_model: SupervisedRoleConfig = SupervisedRoleConfig()
    """Learns which of two conversations is better."""
