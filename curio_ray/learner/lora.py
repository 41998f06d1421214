"""Low-rank adapters inside a language model: made, switched off, and merged for the servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from curio_ray.config.learner import LoraConfig
from curio_ray.errors import LearnerError

ADAPTER = "default"
BASE = ".base_layer"


@dataclass(frozen=True, slots=True)
class ServedWeight:
    """A weight as the servers know it: a parameter under its Hugging Face name.

    `adapter` is the peft layer whose low-rank product belongs to it, or None.
    """

    name: str
    parameter: nn.Parameter
    adapter: Any = None

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All parameters that its value depends on."""
        if self.adapter is None:
            return [self.parameter]
        return [self.parameter, *product(self.adapter)]

    def value(self, dtype: torch.dtype) -> torch.Tensor:
        """W, or W + B A · alpha / rank (Hu et al. 2021, eq. 3), added in float32; contiguous."""
        weight = self.parameter.detach()
        if self.adapter is not None:
            first, second = product(self.adapter)
            low_rank = second.detach().float() @ first.detach().float()
            low_rank = low_rank.T if self.adapter.fan_in_fan_out else low_rank
            weight = weight.float() + low_rank * self.adapter.scaling[ADAPTER]
        return weight.to(dtype).contiguous()


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


def served_weights(language_model: nn.Module) -> Iterator[ServedWeight]:
    """Every weight of a language model, with or without adapters, once."""
    layers = adapter_layers(language_model)
    own = {id(matrix) for layer in layers.values() for matrix in product(layer)}
    adapters = {f"{name}{BASE}.weight": layer for name, layer in layers.items()}
    for name, parameter in language_model.named_parameters():
        if id(parameter) not in own:
            yield ServedWeight(name.replace(BASE, ""), parameter, adapters.get(name))


def product(layer: Any) -> tuple[nn.Parameter, nn.Parameter]:
    """The matrices A [rank, inputs] and B [outputs, rank] of a layer's adapter."""
    return layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
