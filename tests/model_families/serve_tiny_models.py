"""A program: serves tiny models one after the other and prints what vLLM sampled, as JSON.

Each model's server samples, takes changed weights as a run would send them, and samples again. The
changed model lies beside the first. Arguments: a folder for the models, and the architectures.
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
CHANGED = "-changed"


def changed_weights(folder: str) -> list[tuple[str, Any]]:
    """Every weight of a changed model under its name, which is written beside the first."""
    import torch

    from curio_ray.learner.model_loading import load_language_model
    from curio_ray.learner.policy_weights import PolicyWeights

    model = load_language_model(folder, "float32")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder + CHANGED)
    return list(PolicyWeights(model, zero_stage=0).named_tensors(torch.float32))


async def serve(folder: str) -> dict[str, Any]:
    """Ids and log-probs sampled at the start and after an update of every weight."""
    from curio_ray.weights.arrays import BucketWriter

    # vLLM's own way to serve transformers' models changes their classes for the whole process
    weights = changed_weights(folder)
    config = ServerConfig(model=folder, max_model_len=128, kv_cache_gib=0.05, max_sequences=4)
    receiver = SharedMemoryReceiver(through_files=False)
    engine = InProcessEngine("policy", engine_arguments(config, receiver, 0), receiver)
    await engine.start()
    try:
        request = GenerateRequest(PROMPT, max_tokens=24, seed=1)
        before = await engine.generate(request)
        await engine.init_weight_transfer({})
        await engine.start_weight_update()
        for bucket in BucketWriter().write(iter(weights)):
            await engine.update_weights({"bucket": bucket})
        await engine.finish_weight_update(1)
        after = await engine.generate(request)
        return {"start": _sampled(before), "updated": _sampled(after)}
    finally:
        await engine.shutdown()


def _sampled(answer: Any) -> list[Any]:
    return [answer.token_ids, answer.log_probs]


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
