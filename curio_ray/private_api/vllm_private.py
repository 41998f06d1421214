"""vLLM's private names: how a model in an engine takes new weights, and how an engine dies.

On a CPU a linear layer holds a packed copy of its weight and an empty parameter. vLLM's layerwise
reload finds out by itself when a layer is complete, which costs a fraction of a millisecond for
each tensor; here whole models arrive, so that all layers can be packed when the last tensor came.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from vllm.model_executor.layers.linear import UnquantizedLinearMethod
from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.reload.meta import materialize_meta_tensor
from vllm.model_executor.model_loader.reload.sanitize import restore_layer_refs
from vllm.v1.engine.exceptions import EngineDeadError

READ_FROM = "0.32.0"

__all__ = [
    "EngineDeadError",
    "PackedLayers",
    "are_simple",
    "finalize_layerwise_reload",
    "initialize_layerwise_reload",
    "output_heads",
]


def are_simple(model: torch.nn.Module) -> bool:
    """Whether packed linear layers are all that a model on a CPU needs made new."""
    methods = [getattr(layer, "quant_method", None) for layer in model.modules()]
    known = (UnquantizedLinearMethod, UnquantizedEmbeddingMethod)
    return all(method is None or type(method) in known for method in methods)


class PackedLayers:
    """A model's packed layers; each update unpacks them, loads, and packs them again."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._loaded: set[str] = set()
        self._layers = {
            f"{name}.weight": layer
            for name, layer in model.named_modules()
            if _method(layer) is UnquantizedLinearMethod and layer.weight.numel() == 0
        }

    def unpack(self) -> None:
        """Give every layer an unpacked weight to load into."""
        self._loaded.clear()
        for layer in self._layers.values():
            parameters, _ = get_layerwise_info(layer).restore_metadata
            weight = restore_layer_refs(parameters["weight"], layer)
            layer.weight = materialize_meta_tensor(weight)

    def load(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Load tensors under their Hugging Face names."""
        model: Any = self._model
        self._loaded |= model.load_weights(iter(named_tensors)) or set()

    def pack(self) -> None:
        """Pack every layer again, and with them the output head.

        Raises:
            RuntimeError: the update had no weight for some layer.
        """
        missing = sorted(self._layers.keys() - self._loaded)
        if missing:
            raise RuntimeError(f"the update has no weights for {', '.join(missing)}")
        # Nothing is sampled meanwhile, so that the engine's other cores are free.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            list(threads.map(_pack, (*self._layers.values(), *output_heads(self._model))))


def _pack(layer: Any) -> None:
    layer.quant_method.process_weights_after_loading(layer)


def _method(layer: Any) -> type | None:
    method = getattr(layer, "quant_method", None)
    return None if method is None else type(method)


def output_heads(model: torch.nn.Module) -> list[Any]:
    """The model's output head; where it is the embedding itself, that."""
    if isinstance(getattr(model, "lm_head", None), torch.nn.Module):
        return [model.lm_head]
    return [layer for layer in model.modules() if _method(layer) is UnquantizedEmbeddingMethod]
