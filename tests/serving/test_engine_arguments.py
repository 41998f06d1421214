"""What vLLM is told of a server on a GPU."""

from __future__ import annotations

import pytest

from curio_ray.config.servers import ServerConfig
from curio_ray.serving.engine_arguments import GPU_BATCH_TOKENS, engine_arguments

GIB = 2**30


def arguments(**fields: object) -> dict[str, object]:
    return engine_arguments(ServerConfig(model="pocket:policy", **fields), None, seed=0)


def asked_of_a_gpu(gpus: float, free_gib: float) -> float:
    """GiB that vLLM's own check wants of a GPU of 80 GiB."""
    from vllm.config import CacheConfig
    from vllm.utils.mem_utils import MemorySnapshot
    from vllm.v1.worker.utils import request_memory

    found = MemorySnapshot(
        total_memory=80 * GIB, free_memory=int(free_gib * GIB), device="cpu", auto_measure=False
    )
    share = arguments(gpus=gpus)["gpu_memory_utilization"]
    return request_memory(found, CacheConfig(gpu_memory_utilization=share)) / GIB


@pytest.mark.parametrize("part", [0.3, 0.4, 0.9])
def test_vllm_starts_beside_a_learner_that_holds_the_rest_of_the_gpu(part: float) -> None:
    assert asked_of_a_gpu(gpus=part, free_gib=part * 80) < part * 80


def test_a_part_of_a_gpu_that_is_taken_is_noticed_at_the_start() -> None:
    with pytest.raises(ValueError, match="less than desired GPU memory utilization"):
        asked_of_a_gpu(gpus=0.5, free_gib=30)


def test_a_gpu_reads_eight_thousand_tokens_a_step() -> None:
    assert (
        arguments(gpus=1, max_model_len=2560)["max_num_batched_tokens"] == GPU_BATCH_TOKENS == 8192
    )


def test_a_cpu_is_told_nothing_of_gpu_memory() -> None:
    assert "gpu_memory_utilization" not in arguments()
