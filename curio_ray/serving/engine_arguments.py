"""From a server's config to what vLLM reads: the process's environment, the engine's arguments."""

from __future__ import annotations

import os
import warnings
from typing import Any

from curio_ray.config.servers import ServerConfig
from curio_ray.heavy_imports import hide_gpus
from curio_ray.known_tokens import UNKNOWN_IDS, unknown_ids
from curio_ray.model_paths import locate_model
from curio_ray.serving.requests import MAX_LABELS
from curio_ray.weights.sync import WeightReceiver

CPU_BATCH_TOKENS = 4096
GPU_BATCH_TOKENS = 8192

MEMORY_SHARE = 0.9
"""Of the part of a GPU that a server asks for. The KV cache has a size of its own, so that vLLM
only refuses to start where less than this is free; the rest is for what others keep there."""


def set_process_environment(config: ServerConfig, receiver: WeightReceiver | None = None) -> None:
    """Set what torch and vLLM read when they are imported; call before either is.

    With more OpenMP threads than cores each operator waits at a barrier for a core. Without
    TORCHDYNAMO_DISABLE the first request for log-probs on a CPU compiles C++ for seconds.
    """
    on_cpu = config.gpus == 0
    if on_cpu:
        hide_gpus()
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1" if config.engine == "async" else "0"
    os.environ["OMP_NUM_THREADS"] = str(config.threads)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    if receiver is not None:
        os.environ.update(receiver.environment)
    if on_cpu:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def engine_arguments(
    config: ServerConfig, receiver: WeightReceiver | None, seed: int
) -> dict[str, Any]:
    """Keyword arguments for vLLM's `EngineArgs` and `AsyncEngineArgs`."""
    located = locate_model(config.model)
    arguments: dict[str, Any] = {
        "model": located,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "dtype": config.dtype,
        "seed": seed,
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.max_sequences,
        "kv_cache_memory_bytes": int(config.kv_cache_gib * 2**30),
        "block_size": config.block_size,
        "enable_prefix_caching": True,
        "enforce_eager": config.gpus == 0,
        "tensor_parallel_size": config.tensor_parallel,
        "logprobs_mode": "processed_logprobs",
        "max_logprobs": MAX_LABELS,
        "disable_log_stats": True,
        "additional_config": {UNKNOWN_IDS: [list(ids) for ids in unknown_ids(located)]},
        "use_tqdm_on_load": False,
    }
    if config.tensor_parallel > 1:
        arguments["distributed_executor_backend"] = "mp"
    if config.gpus == 0:
        # After a partial prefill vLLM winds a seeded request's generator back, which a CPU
        # generator cannot do: the engine would die.
        arguments["enable_chunked_prefill"] = False
        arguments["max_num_batched_tokens"] = max(config.max_model_len, CPU_BATCH_TOKENS)
    else:
        arguments["gpu_memory_utilization"] = MEMORY_SHARE * config.gpus
        arguments["max_num_batched_tokens"] = max(config.max_sequences, GPU_BATCH_TOKENS)
    if receiver is not None:
        arguments |= receiver.engine_arguments
    return arguments
