"""The DeepSpeed learner."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curio_ray.config.base import Positive, Seconds, Section


class ValueHeadConfig(Section):
    """The turn-level value. With `detach` its gradient stays out of the language model."""

    hidden_size: Positive = 128
    coefficient: Annotated[float, Field(ge=0)] = 0.5
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    detach: bool = True


class LearnerConfig(Section):
    """Optimizer, loss and the ranks that hold them."""

    ranks: Positive = 1
    zero_stage: Literal[0, 1, 2, 3] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Positive = 2
    gpus_per_rank: Annotated[float, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    epochs: Positive = 1
    minibatches: Positive = 1
    tokens_per_pack: Positive = 4096
    ratio_cap: Annotated[float, Field(ge=1)] = 2.0
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.01
    value: ValueHeadConfig = ValueHeadConfig()
    port: Annotated[int | None, Field(ge=1024, le=65535)] = None
    start_deadline_s: Seconds = 300
    step_deadline_s: Seconds = 300
