"""DeepSpeed's config and process group, with the switches that a small machine needs."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from curio_ray.config.learner import LearnerConfig
from curio_ray.private_api.deepspeed_private import leave_out_inference_operators

REDUCE_BUCKET_ELEMENTS = 2**25


def deepspeed_config(config: LearnerConfig) -> dict[str, Any]:
    """The DeepSpeed config of a learner.

    Gradients accumulate over packs and the caller says which pack is the last.
    """
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.gradient_clip,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
        "bf16": {"enabled": config.precision == "bfloat16"},
        "zero_optimization": {
            "stage": config.zero_stage,
            "overlap_comm": False,
            "reduce_bucket_size": REDUCE_BUCKET_ELEMENTS,
        },
    }


def place_model(model: nn.Module, config: LearnerConfig, device: torch.device) -> None:
    """Bring a model from main memory to the rank's device. Under ZeRO-3 a collective.

    There each parameter is divided over the ranks before the next one comes to the device, which
    never holds a whole model. DeepSpeed would bring it there first and divide it then.
    """
    import deepspeed

    if config.zero_stage == 3:
        deepspeed.zero.Init(module=model, config_dict_or_path=deepspeed_config(config))
    model.to(device)


def frozen_model(model: nn.Module, config: LearnerConfig, device: torch.device) -> Any:
    """A model that is only read, on the rank's device; under ZeRO-3 divided like the policy."""
    import deepspeed

    place_model(model, config, device)
    if config.zero_stage < 3:
        return model
    # without an optimizer, for the hooks that gather weights around each layer
    return deepspeed.initialize(
        model=model, config=deepspeed_config(config), dist_init_required=False
    )[0]


def join_process_group(
    rank: int, ranks: int, address: str, port: int, backend: str, deadline_s: float
) -> None:
    """Join the learner's process group; returns when every rank has joined.

    The environment variables are what DeepSpeed reads. Each rank sees its own device only, so its
    local rank is 0.
    """
    import deepspeed

    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(ranks),
        LOCAL_RANK="0",
        MASTER_ADDR=address,
        MASTER_PORT=str(port),
    )
    leave_out_inference_operators()
    deepspeed.init_distributed(
        backend, auto_mpi_discovery=False, verbose=False, timeout=timedelta(seconds=deadline_s)
    )
