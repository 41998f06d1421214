"""The policy's weights on their way out: as a stream of named tensors, or as a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from curio_ray.learner.lora import (
    ADAPTER,
    ServedWeight,
    adapter_layers,
    product,
    served_weights,
)
from curio_ray.private_api.deepspeed_private import element_count

GROUP_ELEMENTS = 2**27
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf", "*.index.json", "config.json")


class PolicyWeights:
    """Every weight of a language model once, under its Hugging Face name.

    Adapters are merged into the weights that they belong to. Which weights there are is found out
    once, since for small models that takes longer than to copy them.
    """

    def __init__(self, language_model: Any, zero_stage: int) -> None:
        self._language_model = language_model
        self._zero_stage = zero_stage
        self._groups = list(_groups(language_model))

    def named_tensors(self, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
        """All of them, contiguous and in `dtype`.

        Under ZeRO-3 a group of layers is gathered at a time, which is a collective, and a tensor
        must not be used after the next one was asked for.
        """
        import deepspeed

        for group in self._groups:
            parameters = [parameter for weight in group for parameter in weight.parameters]
            with deepspeed.zero.GatheredParameters(parameters, enabled=self._zero_stage == 3):
                for weight in group:
                    yield weight.name, weight.value(dtype)

    def named_adapters(self, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
        """The adapters alone, under the names of peft's files; B is multiplied by alpha / rank."""
        import deepspeed

        for name, layer in adapter_layers(self._language_model).items():
            first, second = product(layer)
            pair = [first, second]
            with deepspeed.zero.GatheredParameters(pair, enabled=self._zero_stage == 3):
                yield f"base_model.model.{name}.lora_A.weight", first.detach().to(dtype)
                scaled = second.detach().float() * layer.scaling[ADAPTER]
                yield f"base_model.model.{name}.lora_B.weight", scaled.to(dtype)

    def export(self, model_path: str, folder: Path, rank: int) -> None:
        """Write config, safetensors and the start policy's tokenizer. Only rank 0 writes."""
        tensors = {}
        for name, tensor in self.named_tensors(self._language_model.dtype):
            if rank == 0:
                tensors[name] = tensor.cpu().clone()
        if rank == 0:
            self._language_model.save_pretrained(folder, state_dict=tensors)
            _copy_tokenizer(model_path, folder)


def _groups(language_model: Any) -> Iterator[list[ServedWeight]]:
    group: list[ServedWeight] = []
    elements = 0
    for weight in served_weights(language_model):
        size = sum(element_count(each) for each in weight.parameters)
        if group and elements + size > GROUP_ELEMENTS:
            yield group
            group, elements = [], 0
        group.append(weight)
        elements += size
    yield group


def _copy_tokenizer(model_path: str, folder: Path) -> None:
    source = Path(model_path)
    if not source.is_dir():
        from transformers import AutoTokenizer

        AutoTokenizer.from_pretrained(model_path).save_pretrained(folder)
        return
    for file in source.iterdir():
        is_weight = any(file.match(pattern) for pattern in WEIGHT_FILES)
        if file.is_file() and not is_weight and not (folder / file.name).exists():
            shutil.copy2(file, folder / file.name)
