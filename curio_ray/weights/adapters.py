"""Adapters alone, through Ray's object store, to engines that add them in every request.

vLLM's LoRA requests: an engine keeps the start policy's weights as they are and computes with the
adapter beside them. It has one, of one name, whose weights each update replaces.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curio_ray.config.run import RunConfig
from curio_ray.weights.shared_memory import SharedMemorySender, SharedMemorySync, folder_in_memory
from curio_ray.weights.sync import Call, OnLoss, Replicas, WeightReceiver, on_workers

if TYPE_CHECKING:
    import torch

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for; it has no others."""

NAME, NUMBER = "policy", 1


class AdapterSync(SharedMemorySync):
    """As whole weights travel, but the adapters' tensors are all that does."""

    @classmethod
    def problem(cls, config: RunConfig) -> str | None:
        """There must be adapters, of a rank and on layers that vLLM can be told."""
        lora = config.learner.lora
        if lora is None:
            return (
                "weights.backend: adapters needs adapters; add learner.lora, or write shared_memory"
            )
        if isinstance(lora.targets, str):
            return (
                "learner.lora.targets: weights.backend: adapters needs names; write those of the "
                "model's linear layers, such as [q_proj, v_proj], or weights.backend: shared_memory"
            )
        if lora.rank > VLLM_RANKS[-1]:
            return (
                f"learner.lora.rank: weights.backend: adapters takes up to {VLLM_RANKS[-1]}; write "
                "that or less, or weights.backend: shared_memory"
            )
        return None

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """Room for one adapter, and a request for it."""
        lora = config.learner.lora
        assert lora is not None
        return AdapterReceiver(lora.rank, lora.targets[0])

    def connect(self, replicas: Replicas, on_loss: OnLoss | None = None) -> None:
        """Make the senders, and have every engine look for the layers that they send."""
        import ray

        self._learner.make_weight_senders(AdapterSender)
        buckets = ray.get(self._learner.send_weights(0))
        names = [place.name for bucket in buckets for place in bucket.places]
        self._on_replicas(replicas, "init_weight_transfer", {"names": names}, on_loss=on_loss)


class AdapterSender(SharedMemorySender):
    """Puts the adapters of a version into the object store of its node."""

    adapters_alone = True


class AdapterReceiver(WeightReceiver):
    """Writes each version's adapter into a folder of its node's memory and has vLLM load it.

    Requests name the adapter from the start, when its product is 0, so that those which an update
    finds unfinished go on with the new one.
    """

    def __init__(self, rank: int, target: str) -> None:
        room = next(each for each in VLLM_RANKS if each >= rank)
        worker = "curio_ray.private_api.vllm_adapters.AdapterWorker"
        super().__init__(
            {
                "enable_lora": True,
                "max_loras": 1,
                "max_lora_rank": room,
                "worker_extension_cls": worker,
            }
        )
        self._rank = rank
        self._target = target
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._tensors: dict[str, torch.Tensor] = {}

    def request_arguments(self) -> dict[str, Any]:
        """The adapter, with a product of 0."""
        import torch

        self._folder = folder_in_memory()
        # vLLM wants some layer, by a name that it knows, and leaves alone what it does not find.
        prefix = f"base_model.model.{self._target}"
        self._write(
            {
                f"{prefix}.lora_A.weight": torch.zeros(self._rank, 1),
                f"{prefix}.lora_B.weight": torch.zeros(1, self._rank),
            }
        )
        return {"lora_request": self._request()}

    def connect(self, info: dict[str, Any]) -> list[Call]:
        """Look for the layers of the adapter's tensors, `{"names": [...]}`."""
        return [on_workers("refuse_unknown_adapters", info["names"])]

    def start(self) -> list[Call]:
        """Begin anew."""
        self._tensors = {}
        return []

    def update(self, info: dict[str, Any]) -> list[Call]:
        """Keep one bucket, `{"bucket": WeightBucket}`, until the adapter is whole."""
        from curio_ray.weights.arrays import as_tensors

        self._tensors |= as_tensors(info["bucket"])
        return []

    def finish(self) -> list[Call]:
        """Have the adapter loaded, in place of the one before."""
        self._write(self._tensors)
        self._tensors = {}
        return [("add_lora", (self._request(load_inplace=True),))]

    def _request(self, **options: Any) -> Any:
        from vllm.lora.request import LoRARequest

        assert self._folder is not None
        return LoRARequest(NAME, NUMBER, self._folder.name, **options)

    def _write(self, tensors: dict[str, torch.Tensor]) -> None:
        from safetensors.torch import save_file

        assert self._folder is not None
        folder = Path(self._folder.name)
        # The senders have multiplied alpha / rank in.
        config = {"peft_type": "LORA", "r": self._rank, "lora_alpha": self._rank}
        config |= {"target_modules": [self._target], "bias": "none"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file(tensors, folder / "adapter_model.safetensors")
