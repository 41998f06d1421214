"""The receiving side on CPU: reads safetensors files that the learner left in shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)


@dataclass
class SharedMemoryInitInfo(WeightTransferInitInfo):
    """Nothing has to be agreed on: an update names its files."""


@dataclass
class SharedMemoryUpdateInfo(WeightTransferUpdateInfo):
    """The safetensors files of one version of the weights, under Hugging Face names."""

    files: list[str]


class SharedMemoryEngine(WeightTransferEngine[SharedMemoryInitInfo, SharedMemoryUpdateInfo]):
    """Loads whole models between two engine steps, on the machine of the sender."""

    init_info_cls = SharedMemoryInitInfo
    update_info_cls = SharedMemoryUpdateInfo

    def init_transfer_engine(self, init_info: SharedMemoryInitInfo) -> None:
        """Nothing to connect."""

    def start_weight_update(self) -> None:
        """Unpack the layers: on CPU vLLM keeps linear weights packed, with empty parameters."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, list[str]]) -> None:
        """Load without the base class's synchronisation, which needs an accelerator."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: SharedMemoryUpdateInfo) -> None:
        """Load every tensor of the update's files.

        Raises:
            FileNotFoundError: the server runs on another machine than the learner's first rank.
        """
        for name in update_info.files:
            if not Path(name).is_file():
                raise FileNotFoundError(
                    f"{name} is not on this machine; weights.backend: shared_memory needs the "
                    "learner's first rank and the policy's servers on one machine, write nccl"
                )
            self.model.load_weights(_tensors_of(name))

    def finish_weight_update(self) -> None:
        """Pack the layers again, and with them an output head tied to the embedding.

        The head is packed apart from the embedding, and the layerwise reload does not see it:
        without this the new layers would be read out by the old head.
        """
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)
        head = getattr(self.model, "lm_head", None)
        if head is not None and self.model_config.hf_config.tie_word_embeddings:
            head.quant_method.process_weights_after_loading(head)

    def shutdown(self) -> None:
        """Nothing is held between two updates."""


def _tensors_of(name: str) -> Iterator[tuple[str, torch.Tensor]]:
    with safe_open(name, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            yield key, file.get_tensor(key)
