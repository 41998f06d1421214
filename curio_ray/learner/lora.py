"""Low-rank adapters inside a language model: made, found, and switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from curio_ray.config.learner import LoraConfig
from curio_ray.errors import LearnerError

ADAPTER = "default"


def add_adapters(language_model: Any, config: LoraConfig, seed: int) -> None:
    """Freeze a Hugging Face model and put adapters into it, the same for the same seed.

    A fresh adapter's product is 0, so that the model computes what it did before.

    Raises:
        LearnerError: the model has no layer of such a name.
    """
    import peft

    options = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.targets,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(options, language_model, ADAPTER)
        except ValueError as error:
            raise LearnerError(
                f"learner.lora.targets: {error}; write all-linear, or names of the model's own "
                "linear layers"
            ) from error


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model computes as if it had never been trained."""
    layers = list(adapter_layers(model).values())
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def adapter_layers(model: nn.Module) -> dict[str, Any]:
    """The layers with an adapter, by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def product(layer: Any) -> tuple[nn.Parameter, nn.Parameter]:
    """The matrices A [rank, inputs] and B [outputs, rank] of a layer's adapter."""
    return layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
