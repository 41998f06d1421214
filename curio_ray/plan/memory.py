"""Main memory and GPU memory of a run, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from curio_ray.config import RunConfig
from curio_ray.config.learner import LearnerConfig, LoraConfig
from curio_ray.plan.model_size import BYTES, ModelSize
from curio_ray.plan.models import Model

# The learner's log-probabilities go through the vocabulary in chunks of so many float32 logits.
_LOGITS_PER_CHUNK = {"memory": 2**22, "GPU": 2**27}
_COPIES_OF_A_CHUNK = 3

GIB = 2**30
# What a process of each kind takes before any model: interpreter, libraries, buffers.
PROCESS_GIB = {"server": 0.85, "learner": 0.6, "runner": 0.15, "driver": 0.5, "Ray": 0.4}

Place = Literal["memory", "GPU"]


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """Memory of all processes of one holder for one purpose.

    `field` is the config's field that decides it, or None where none does.
    """

    holder: str
    purpose: str
    bytes: int
    place: Place = "memory"
    field: str | None = None


def memory_parts(config: RunConfig, models: Mapping[str, Model], longest: int) -> list[MemoryPart]:
    """All parts of a run whose dialogues have at most `longest` tokens of the policy's context.

    Models of unknown size are left out.
    """
    parts = []
    for name, server in config.own_servers.items():
        place: Place = "GPU" if server.gpus else "memory"
        holder, prefix = f"server {name}", f"servers.{name}"
        processes = server.replicas * (2 if server.engine == "async" else 1)
        parts.append(_process(holder, "server", processes, f"{prefix}.replicas"))
        size = models[name].size
        if size is not None:
            weights = server.replicas * size.parameters * BYTES[server.dtype]
            parts.append(MemoryPart(holder, "weights", weights, place, f"{prefix}.model"))
        cache = int(server.replicas * server.tensor_parallel * server.kv_cache_gib * GIB)
        parts.append(MemoryPart(holder, "KV cache", cache, place, f"{prefix}.kv_cache_gib"))
    policy = config.roles.policy.server
    tokens = longest * config.training.dialogues_per_iteration
    parts += learner_parts(
        config.learner, models[policy].size, f"servers.{policy}.model", longest, tokens
    )
    parts.append(_process("runners", "runner", config.rollout.runners, "rollout.runners"))
    parts.append(_process("driver", "driver", 1, None))
    parts.append(_process("Ray", "Ray", 1, None))
    return parts


def learner_parts(
    learner: LearnerConfig,
    size: ModelSize | None,
    model_field: str,
    longest: int,
    tokens: int,
) -> list[MemoryPart]:
    """The learner's ranks together, for dialogues of at most `longest` and `tokens` in all.

    Model states follow Rajbhandari et al. 2020 (ZeRO): stage 1 divides the optimizer's states by
    the ranks, stage 2 the gradients too, stage 3 the weights too, and those of the start policy.
    With adapters there are gradients and optimizer states of these alone, and no second copy of the
    start policy.
    """
    parts = [_process("learner", "learner", learner.ranks, "learner.ranks")]
    if size is None:
        return parts
    place: Place = "GPU" if learner.gpus_per_rank else "memory"
    stage, ranks, width = learner.zero_stage, learner.ranks, BYTES[learner.precision]
    adapters = 0 if learner.lora is None else adapter_parameters(size, learner.lora)
    trained = adapters or size.parameters
    weights = (size.parameters + adapters) * width

    def copies(divided_from: int) -> int:
        return 1 if stage >= divided_from else ranks

    master = 0 if stage == 0 and learner.precision == "float32" else 4 * trained
    adam = 8 * trained
    # a dialogue is never cut, and no pack holds more than there is
    pack = min(max(learner.tokens_per_pack, longest), tokens)
    per_token = _activation_bytes(size, width, learner.gradient_checkpointing, min(longest, pack))
    head = 0 if learner.lora else size.vocabulary * size.hidden * (4 + width)
    logits = head + _COPIES_OF_A_CHUNK * 4 * _LOGITS_PER_CHUNK[place]
    parts += [
        MemoryPart("learner", "weights", weights * copies(3), place, model_field),
        MemoryPart(
            "learner", "gradients", trained * width * copies(2), place, "learner.zero_stage"
        ),
        MemoryPart(
            "learner", "optimizer states", (master + adam) * copies(1), place, "learner.zero_stage"
        ),
        MemoryPart(
            "learner", "activations", ranks * pack * per_token, place, "learner.tokens_per_pack"
        ),
        MemoryPart("learner", "logits", ranks * logits, place, None),
    ]
    if learner.has_kl and learner.lora is None:
        parts.append(
            MemoryPart(
                "learner", "start policy", weights * copies(3), place, "learner.kl_coefficient"
            )
        )
    if learner.max_update_kl is not None:
        kept = 12 * trained * copies(1)
        parts.append(
            MemoryPart("learner", "state to go back to", kept, "memory", "learner.max_update_kl")
        )
    return parts


def total(parts: list[MemoryPart], place: Place) -> int:
    """Bytes of all parts in one place."""
    return sum(part.bytes for part in parts if part.place == place)


def _process(holder: str, kind: str, count: int, field: str | None) -> MemoryPart:
    return MemoryPart(holder, "processes", int(count * PROCESS_GIB[kind] * GIB), "memory", field)


def _activation_bytes(size: ModelSize, width: int, checkpointing: bool, longest: int) -> int:
    """Bytes kept for the backward pass for one token: the inputs of every layer's products.

    With checkpointing the input of every layer, and all of the one that is being computed again.
    Where scores are capped, every head keeps them for each token of the dialogue: the capped ones
    and the probabilities in the model's type, and the softmax in float32.
    """
    layer = (12 * size.hidden + 4 * size.intermediate) * width
    if size.capped_scores:
        layer += size.heads * longest * (2 * width + 4)
    if checkpointing:
        return size.layers * size.hidden * width + layer
    return size.layers * layer


def adapter_parameters(size: ModelSize, lora: LoraConfig) -> int:
    """Parameters of the adapters in a Llama-like model: rank · (inputs + outputs) for each layer.

    A name that such a model does not have counts like its largest layer.
    """
    hidden, inner = size.hidden, size.intermediate
    ends = {
        "q_proj": 2 * hidden,
        "k_proj": hidden + size.key_value_width,
        "v_proj": hidden + size.key_value_width,
        "o_proj": 2 * hidden,
        "gate_proj": hidden + inner,
        "up_proj": hidden + inner,
        "down_proj": hidden + inner,
    }
    names = list(ends) if lora.targets == "all-linear" else lora.targets
    return size.layers * lora.rank * sum(ends.get(name, hidden + inner) for name in names)
