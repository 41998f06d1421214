"""vLLM's plugin entry point: makes the shared-memory backend known in every vLLM process."""

from __future__ import annotations

SHARED_MEMORY = "shared_memory"


def register() -> None:
    """Register the backend under the name that `weights.backend` uses."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if SHARED_MEMORY not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(
            SHARED_MEMORY,
            "curio_ray.weights.shared_memory",
            "SharedMemoryEngine",
        )
