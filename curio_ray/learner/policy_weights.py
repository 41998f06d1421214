"""The policy's weights on their way out: as a stream of named tensors, or as a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curio_ray.learner.lora import ADAPTER, adapter_layers, product
from curio_ray.model_files import save_like_start
from curio_ray.private_api.deepspeed_private import element_count

BASE = ".base_layer"
GROUP_ELEMENTS = 2**27


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


@dataclass(frozen=True, slots=True)
class TensorStream:
    """Named tensors, to be read once; the size of the largest is known before the first."""

    tensors: Iterator[tuple[str, torch.Tensor]]
    largest_bytes: int

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self.tensors


class PolicyWeights:
    """Every weight of a language model once, under its Hugging Face name.

    Adapters are merged into the weights that they belong to. Which weights there are is found out
    once, since for small models that takes longer than to copy them.
    """

    def __init__(self, language_model: Any, zero_stage: int) -> None:
        self._language_model = language_model
        self._zero_stage = zero_stage
        self._groups = list(_groups(language_model))

    def named_tensors(self, dtype: torch.dtype) -> TensorStream:
        """All of them, contiguous and in `dtype`.

        Under ZeRO-3 a group of layers is gathered at a time, which is a collective, and a tensor
        must not be used after the next one was asked for.
        """
        sizes = [element_count(weight.parameter) for group in self._groups for weight in group]
        return TensorStream(self._named_tensors(dtype), max(sizes) * dtype.itemsize)

    def named_adapters(self, dtype: torch.dtype) -> TensorStream:
        """The adapters alone, under the names of peft's files; B is multiplied by alpha / rank."""
        layers = adapter_layers(self._language_model).values()
        sizes = [element_count(matrix) for layer in layers for matrix in product(layer)]
        return TensorStream(self._named_adapters(dtype), max(sizes, default=0) * dtype.itemsize)

    def _named_tensors(self, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
        import deepspeed

        for group in self._groups:
            parameters = [parameter for weight in group for parameter in weight.parameters]
            with deepspeed.zero.GatheredParameters(parameters, enabled=self._zero_stage == 3):
                for weight in group:
                    yield weight.name, weight.value(dtype)

    def _named_adapters(self, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
        import deepspeed

        for name, layer in adapter_layers(self._language_model).items():
            first, second = product(layer)
            pair = [first, second]
            with deepspeed.zero.GatheredParameters(pair, enabled=self._zero_stage == 3):
                yield f"base_model.model.{name}.lora_A.weight", first.detach().to(dtype)
                scaled = second.detach().float() * layer.scaling[ADAPTER]
                yield f"base_model.model.{name}.lora_B.weight", scaled.to(dtype)

    def export(self, model_path: str, folder: Path, rank: int) -> None:
        """Write config, safetensors and the start policy's other files. Only rank 0 writes."""
        tensors = {}
        for name, tensor in self.named_tensors(self._language_model.dtype):
            if rank == 0:
                tensors[name] = tensor.cpu().clone()
        if rank == 0:
            save_like_start(self._language_model, model_path, folder, tensors)


def _served_weights(language_model: nn.Module) -> Iterator[ServedWeight]:
    """Every weight of a language model, with or without adapters, once."""
    layers = adapter_layers(language_model)
    own = {id(matrix) for layer in layers.values() for matrix in product(layer)}
    adapters = {f"{name}{BASE}.weight": layer for name, layer in layers.items()}
    for name, parameter in language_model.named_parameters():
        if id(parameter) not in own:
            yield ServedWeight(name.replace(BASE, ""), parameter, adapters.get(name))


def _groups(language_model: Any) -> Iterator[list[ServedWeight]]:
    group: list[ServedWeight] = []
    elements = 0
    for weight in _served_weights(language_model):
        size = sum(element_count(each) for each in weight.parameters)
        if group and elements + size > GROUP_ELEMENTS:
            yield group
            group, elements = [], 0
        group.append(weight)
        elements += size
    yield group
