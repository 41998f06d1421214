"""The DeepSpeed learner."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from curio_ray.config.base import Positive, Seconds, Section
from curio_ray.config.cluster import LearnerPlacementConfig
from curio_ray.config.losses import LossConfig, ReinforceLossConfig
from curio_ray.config.schedules import DecayConfig, KLCoefficient

UPDATE_TRIES = 5
"""Rates at which an update is tried, each half the one before; then it is left out."""


class ValueHeadConfig(Section):
    """The turn-level value. With `detach` its gradient stays out of the language model."""

    hidden_size: Positive = 128
    """Width of its hidden layer."""
    coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Weight of its squared error in the loss."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Its own learning rate."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of its own gradient."""
    normalise: bool = True
    """Whether it learns targets less their running mean, divided by their running deviation."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps in which it learns alone, before the policy's first."""
    detach: bool = True
    """Whether its gradient stops at the language model."""


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) in place of training every weight."""

    rank: Positive = 16
    """Rank of each adapter."""
    alpha: Positive = 32
    """An adapter's product is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is left out while it learns."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers that get one, such as [q_proj, v_proj]; all-linear means every
    one but the output head."""

    @field_validator("targets")
    @classmethod
    def _inside_the_layers(cls, targets: str | list[str]) -> str | list[str]:
        if not targets:
            raise ValueError("no layer gets an adapter; write all-linear, or names of layers")
        if refused := sorted({"lm_head", "embed_tokens"} & set(targets)):
            raise ValueError(
                f"{', '.join(refused)}: embeddings and output head get no adapter; leave it out"
            )
        return targets


class LearnerConfig(Section):
    """Optimizer, loss and the ranks that hold them."""

    ranks: Positive = 1
    """Processes that hold the learner."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """What DeepSpeed's ZeRO divides over the ranks: 1 optimizer states, 2 gradients too, 3
    weights too."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of weights and activations. bfloat16 needs zero_stage 1 or higher."""
    threads: Positive = 2
    """Threads of each rank on CPU."""
    gpus_per_rank: Annotated[float, Field(ge=0)] = 0
    """GPUs per rank; 0 means CPU."""
    placement: LearnerPlacementConfig = LearnerPlacementConfig()
    """Where the ranks lie."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """AdamW's step size."""
    decay: DecayConfig = DecayConfig()
    """How learning rates fall over the run."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """The share that AdamW's mean gradient keeps of itself in a step."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """The share that AdamW's mean squared gradient keeps of itself in a step. Near 1, one gradient
    after many small ones moves a weight by several times the learning rate."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-6
    """What AdamW adds to the root of the mean squared gradient: gradients below it move a weight
    by less than the learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decay."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps over which the learning rate rises linearly."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the policy's gradient."""
    epochs: Positive = 1
    """Passes over the dialogues of an iteration."""
    minibatches: Positive = 1
    """Optimizer steps per pass."""
    tokens_per_pack: Positive = 4096
    """Most tokens in one forward pass of a rank."""
    gradient_checkpointing: bool = False
    """Whether layers are computed again in the backward pass instead of keeping what they hold."""
    lora: LoraConfig | None = None
    """Trains adapters and value head alone; the servers get weights with the adapters merged. By
    default every weight is trained."""
    loss: LossConfig = ReinforceLossConfig()
    """The policy's loss, by its name."""
    kl_coefficient: KLCoefficient = 0.01
    """Weight of the KL divergence from the start policy; 0 keeps no copy of it, nor does lora. A
    number, or a section that changes it over the run."""
    max_update_kl: Annotated[float | None, Field(gt=0)] = 0.1
    """Most that one update may move the policy away from the one that sampled its dialogues: their
    KL divergence on these, in nats per token. An update that goes further is taken back and tried
    at half the rate. null: nothing is measured, and no copy of the state kept."""
    value: ValueHeadConfig = ValueHeadConfig()
    """The value head."""
    port: Annotated[int | None, Field(ge=1024, le=65535)] = None
    """Port where the ranks meet; a free one by default."""
    start_deadline_s: Seconds = 300
    """Seconds within which all ranks must be ready."""
    step_deadline_s: Seconds = 300
    """Seconds within which a pass or an update must be over."""

    @property
    def has_kl(self) -> bool:
        """Whether the loss has a KL divergence from the start policy."""
        return self.kl_coefficient != 0
