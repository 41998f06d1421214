"""`shared_memory` inside vLLM's workers: loads tensors that the server took from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load_file
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from curio_ray.private_api.vllm_private import (
    PackedLayers,
    are_simple,
    finalize_layerwise_reload,
    initialize_layerwise_reload,
    output_heads,
)


@dataclass
class SharedMemoryInitInfo(WeightTransferInitInfo):
    """Nothing has to be agreed on: an update holds its tensors."""


@dataclass
class SharedMemoryUpdateInfo(WeightTransferUpdateInfo):
    """Some tensors under Hugging Face names, or the safetensors file that holds them.

    An engine in its server's own process gets the tensors, another one the file.
    """

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    file: str | None = None


class SharedMemoryEngine(WeightTransferEngine[SharedMemoryInitInfo, SharedMemoryUpdateInfo]):
    """Loads whole models between two engine steps, a bucket of tensors at a time."""

    init_info_cls = SharedMemoryInitInfo
    update_info_cls = SharedMemoryUpdateInfo

    def init_transfer_engine(self, init_info: SharedMemoryInitInfo) -> None:
        """Nothing to connect; see which layers are packed."""
        packs = self.device.type == "cpu" and are_simple(self.model)
        self._packed = PackedLayers(self.model) if packs else None

    def start_weight_update(self) -> None:
        """Unpack the layers: on CPU vLLM keeps linear weights packed, with empty parameters."""
        if self._packed is not None:
            self._packed.unpack()
        else:
            initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load without the base class's synchronisation, which needs an accelerator."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: SharedMemoryUpdateInfo) -> None:
        """Load every tensor of the update."""
        tensors = update_info.tensors
        if update_info.file is not None:
            tensors = load_file(update_info.file)
        load = self.model.load_weights if self._packed is None else self._packed.load
        load(iter(tensors.items()))

    def finish_weight_update(self) -> None:
        """Pack the layers again, and with them the output head.

        One that is tied to the embedding is packed apart from it, and the layerwise reload does not
        see it: without this the new layers would be read out by the old head.
        """
        if self._packed is not None:
            self._packed.pack()
            return
        finalize_layerwise_reload(self.model, self.model_config)
        for head in output_heads(self.model):
            head.quant_method.process_weights_after_loading(head)

    def shutdown(self) -> None:
        """Nothing is held between two updates."""
