"""vLLM's private names: which layers of a worker's model can have an adapter, and under what names.

vLLM takes an adapter whose layers it does not have and leaves those out without a word.
"""

from __future__ import annotations

from typing import Any

from vllm.lora.utils import parse_fine_tuned_lora_name

READ_FROM = "0.32.0"


class AdapterWorker:
    """What vLLM's workers can do besides, as its `worker_extension_cls`."""

    model_runner: Any

    def refuse_unknown_adapters(self, names: list[str]) -> None:
        """Compare the names of an adapter's tensors with the layers that there are.

        Raises:
            ValueError: a tensor belongs to no layer; says which.
        """
        manager = self.model_runner.lora_manager._adapter_manager
        known = {
            layer for name in manager.modules for layer in manager.packed_modules.get(name, [name])
        }
        mapper = getattr(manager.model, "hf_to_vllm_mapper", None)
        renames = None if mapper is None else mapper.get_rename_mapper()
        layers = dict.fromkeys(parse_fine_tuned_lora_name(name, renames)[0] for name in names)
        if unknown := [layer for layer in layers if layer not in known]:
            raise ValueError(
                f"vLLM's model has no layer {', '.join(unknown[:3])} for an adapter of the "
                f"learner, {len(unknown)} of {len(layers)} in all, and would leave them out; "
                "write other learner.lora.targets, or weights.backend: shared_memory"
            )
