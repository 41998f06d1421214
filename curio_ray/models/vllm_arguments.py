"""From a server's config and its requests to vLLM's own arguments, and from its outputs back."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import ServerError
from curio_ray.models.locate import locate_model
from curio_ray.models.requests import GenerateRequest, GenerateResult

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

MAX_LABELS = 128
CPU_BATCH_TOKENS = 4096


def set_process_environment(config: ServerConfig, transfer_backend: str | None = None) -> None:
    """Set what torch and vLLM read when they are imported; call before either is.

    With more OpenMP threads than cores each operator waits at a barrier for a core. Without
    TORCHDYNAMO_DISABLE the first request for log-probs on a CPU compiles C++ for seconds.
    """
    on_cpu = config.gpus == 0
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1" if config.engine == "async" else "0"
    os.environ["OMP_NUM_THREADS"] = str(config.threads)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    if transfer_backend == "ipc":
        # IPC handles hold Python objects, which vLLM passes on to its own process only so.
        os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    if on_cpu:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def engine_arguments(
    config: ServerConfig, transfer_backend: str | None, seed: int
) -> dict[str, Any]:
    """Keyword arguments for vLLM's `EngineArgs` and `AsyncEngineArgs`."""
    arguments: dict[str, Any] = {
        "model": locate_model(config.model),
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
        "use_tqdm_on_load": False,
    }
    if config.tensor_parallel > 1:
        arguments["distributed_executor_backend"] = "mp"
    if config.gpus == 0:
        # After a partial prefill vLLM winds a seeded request's generator back, which a CPU
        # generator cannot do: the engine would die.
        arguments["enable_chunked_prefill"] = False
        arguments["max_num_batched_tokens"] = max(config.max_model_len, CPU_BATCH_TOKENS)
    if transfer_backend is not None:
        arguments["weight_transfer_config"] = {"backend": transfer_backend}
    return arguments


def sampling_parameters(request: GenerateRequest) -> SamplingParams:
    """vLLM's parameters of one request.

    Labels are read greedily: the log-probs of a greedy request are those at temperature 1.
    Only the listed stop tokens end a continuation, not the model's own end-of-sequence token.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    if request.label_ids is not None:
        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(request.label_ids),
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=False,
            skip_clone=True,
        )
    return SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        stop_token_ids=list(request.stop_token_ids),
        ignore_eos=True,
        logprobs=0,
        output_kind=RequestOutputKind.FINAL_ONLY,
        detokenize=False,
        skip_clone=True,
    )


def result_of(request: GenerateRequest, output: RequestOutput) -> GenerateResult:
    """The typed answer in a finished vLLM output.

    Raises:
        ServerError: vLLM left out log-probs or weight versions.
    """
    completion = output.outputs[0]
    cached = output.num_cached_tokens or 0
    if completion.logprobs is None:
        raise ServerError(f"vLLM returned no log-probs ({completion.finish_reason})")
    if request.label_ids is not None:
        position = completion.logprobs[0]
        labels = [position[label].logprob for label in request.label_ids]
        return GenerateResult([], [], [], label_log_probs=labels, cached_tokens=cached)
    token_ids = list(completion.token_ids)
    log_probs = [
        position[token].logprob
        for position, token in zip(completion.logprobs, token_ids, strict=True)
    ]
    versions = [
        int(span.version)
        for span in completion.weight_versions or ()
        for _ in range(span.start, span.end)
    ]
    if len(versions) != len(token_ids):
        raise ServerError(f"vLLM gave {len(versions)} weight versions to {len(token_ids)} tokens")
    return GenerateResult(token_ids, log_probs, versions, cached_tokens=cached)


def refusal(
    server: str, config: ServerConfig, vocabulary_size: int, request: GenerateRequest
) -> str | None:
    """Why a request cannot be served, or None.

    vLLM itself does not refuse an unknown prompt id: the whole engine dies of it.
    """
    length = len(request.prompt_ids)
    if length == 0:
        return f"server '{server}': a request needs at least one prompt token"
    new_tokens = 1 if request.label_ids is not None else request.max_tokens
    if length + new_tokens > config.max_model_len:
        return (
            f"server '{server}': {length} prompt tokens and {new_tokens} new ones exceed "
            f"servers.{server}.max_model_len = {config.max_model_len}; raise it to at least "
            f"{length + new_tokens}, or shorten the dialogue"
        )
    if request.label_ids is not None and not 0 < len(request.label_ids) <= MAX_LABELS:
        return (
            f"server '{server}': {len(request.label_ids)} label ids in one request; "
            f"ask for 1 to {MAX_LABELS}"
        )
    ids = [*request.prompt_ids, *(request.label_ids or ())]
    if min(ids) < 0 or max(ids) >= vocabulary_size:
        return (
            f"server '{server}': a token id lies outside 0 to {vocabulary_size - 1}, the "
            f"vocabulary of servers.{server}.model; use the tokenizer of that model"
        )
    return None
