"""The policy's weights on their way out: as a stream of named tensors, or as a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from curio_ray.learner.lora import ServedWeight, served_weights

GROUP_ELEMENTS = 2**27
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf", "*.index.json", "config.json")


def named_tensors(
    language_model: Any, zero_stage: int, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight once, under its Hugging Face name, contiguous and in `dtype`.

    Adapters are merged into the weights that they belong to. Under ZeRO-3 a group of layers is
    gathered at a time, which is a collective, and a tensor must not be used after the next one was
    asked for.
    """
    import deepspeed

    for group in _groups(language_model):
        parameters = [parameter for weight in group for parameter in weight.parameters]
        with deepspeed.zero.GatheredParameters(parameters, enabled=zero_stage == 3):
            for weight in group:
                yield weight.name, weight.value(dtype)


def export_policy(
    language_model: Any, zero_stage: int, model_path: str, folder: Path, rank: int
) -> None:
    """Write config, safetensors and the start policy's tokenizer. Only rank 0 writes."""
    tensors = {}
    for name, tensor in named_tensors(language_model, zero_stage, language_model.dtype):
        if rank == 0:
            tensors[name] = tensor.cpu().clone()
    if rank == 0:
        language_model.save_pretrained(folder, state_dict=tensors)
        _copy_tokenizer(model_path, folder)


def _groups(language_model: Any) -> Iterator[list[ServedWeight]]:
    group: list[ServedWeight] = []
    elements = 0
    for weight in served_weights(language_model):
        size = sum(getattr(each, "ds_numel", each.numel()) for each in weight.parameters)
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
