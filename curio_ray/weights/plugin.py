"""vLLM's plugin entry point: makes this package's engines known in every vLLM process."""

from __future__ import annotations

import contextlib
import importlib

from curio_ray.weights import gpu, shared_memory

ENGINES = {
    shared_memory.VLLM_NAME: ("curio_ray.weights.shared_memory_engine", "SharedMemoryEngine"),
    gpu.VLLM_NCCL: ("curio_ray.weights.nccl_engine", "RejoiningNcclEngine"),
}


def register() -> None:
    """Register the engines; vLLM may call this several times in a process."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    for name, (module, class_name) in ENGINES.items():
        # A name that it has already is refused.
        with contextlib.suppress(ValueError):
            WeightTransferEngineFactory.register_engine(name, module, class_name)
    importlib.import_module("curio_ray.private_api.vllm_logits")
