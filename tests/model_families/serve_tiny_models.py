"""A program: serves tiny models one after the other and prints what vLLM made of each, as JSON.

Each model's server samples, takes changed weights as a run would send them, and samples again.
Arguments: a folder for the models, and the architectures.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tiny_models import FOR_VLLM, save_tiny_model, save_tokenizer

from curio_ray.config.servers import ServerConfig
from curio_ray.serving.engine_arguments import engine_arguments, set_process_environment
from curio_ray.serving.in_process_engine import InProcessEngine
from curio_ray.serving.requests import GenerateRequest
from curio_ray.weights.shared_memory import SharedMemoryReceiver

PROMPT = [5, 9, 30, 11, 40, 8, 21, 33]


def log_prob_gap(model: Any, token_ids: list[int], log_probs: list[float]) -> float:
    """Largest difference to the learner's log-probabilities of the sampled ids, in nats."""
    import numpy as np
    import torch

    from curio_ray.learner.model import PolicyModel
    from curio_ray.learner.packing import pack_tensors
    from curio_ray.learner.sequences import TrainingSequence

    ids = np.array(PROMPT + token_ids, dtype=np.int32)
    zeros = np.zeros(len(ids), dtype=np.float32)
    sampled = np.arange(len(ids)) >= len(PROMPT)
    start = np.array([len(PROMPT) - 1])
    sequence = TrainingSequence(ids, sampled, zeros, start, zeros, np.zeros(1, dtype=np.float32))
    policy = PolicyModel(model, temperature=1.0)
    with torch.no_grad():
        own = policy(pack_tensors([sequence, sequence], torch.device("cpu")))[: len(token_ids)]
    return float(np.abs(own.numpy() - np.array(log_probs)).max())


async def serve(folder: str) -> dict[str, float]:
    """The gap at the start and after an update of every weight."""
    import torch

    from curio_ray.learner.model_loading import load_language_model
    from curio_ray.learner.policy_weights import PolicyWeights
    from curio_ray.weights.arrays import BucketWriter

    config = ServerConfig(model=folder, max_model_len=128, kv_cache_gib=0.05, max_sequences=4)
    receiver = SharedMemoryReceiver(through_files=False)
    engine = InProcessEngine("policy", engine_arguments(config, receiver, 0), receiver)
    # vLLM's own way to serve transformers' models changes their classes for the whole process
    model = load_language_model(folder, "float32")
    await engine.start()
    try:
        request = GenerateRequest(PROMPT, max_tokens=24, seed=1)
        before = await engine.generate(request)
        gaps = {"start": log_prob_gap(model, before.token_ids, before.log_probs)}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        await engine.init_weight_transfer({})
        await engine.start_weight_update()
        weights = PolicyWeights(model, zero_stage=0).named_tensors(torch.float32)
        for bucket in BucketWriter().write(weights):
            await engine.update_weights({"bucket": bucket})
        await engine.finish_weight_update(1)
        after = await engine.generate(request)
        gaps["updated"] = log_prob_gap(model, after.token_ids, after.log_probs)
        return gaps
    finally:
        await engine.shutdown()


def main() -> None:
    root, *architectures = sys.argv[1:]
    set_process_environment(ServerConfig(model="unused"), SharedMemoryReceiver(False))
    for name in architectures:
        folder = Path(root, name)
        save_tiny_model(name, folder, **FOR_VLLM.get(name, FOR_VLLM["any"]))
        save_tokenizer(folder)
        try:
            found: dict[str, Any] = asyncio.run(serve(str(folder)))
        except Exception as error:  # noqa: BLE001 (whatever vLLM refuses a model with is told)
            found = {"error": f"{type(error).__name__}: {error}"[-300:]}
        sys.stdout.write(json.dumps({"architecture": name, **found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
