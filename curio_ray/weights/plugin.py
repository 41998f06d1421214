"""vLLM's plugin entry point: makes the shared-memory backend known in every vLLM process."""

from __future__ import annotations

import contextlib

from curio_ray.weights.shared_memory import VLLM_NAME


def register() -> None:
    """Register the engine; vLLM may call this several times in a process."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    # A name that it has already is refused.
    with contextlib.suppress(ValueError):
        WeightTransferEngineFactory.register_engine(
            VLLM_NAME, "curio_ray.weights.shared_memory_engine", "SharedMemoryEngine"
        )
