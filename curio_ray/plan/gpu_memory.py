"""What every GPU of a run must hold, and whether a kind of GPU can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curio_ray.plan.devices import Device
from curio_ray.plan.memory import GIB
from curio_ray.plan.model_size import BYTES
from curio_ray.plan.plan import Plan

# CUDA's context, CUDA graphs, activations of one step, what NCCL keeps; a learner has no graphs.
OVERHEAD_GIB = 3.0
LEARNER_OVERHEAD_GIB = 1.0


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """What one GPU of a holder takes [GiB] of the share of a GPU that it asks Ray for."""

    holder: str
    field: str
    gpus: int
    share: float
    weights: float
    cache: float
    training: float

    @property
    def total(self) -> float:
        """All of it, with the overhead."""
        overhead = LEARNER_OVERHEAD_GIB if self.field == "learner" else OVERHEAD_GIB
        return self.weights + self.cache + self.training + overhead

    def fits(self, device: Device) -> bool:
        """Whether the share of such a GPU holds it."""
        return self.total <= min(self.share, 1.0) * device.memory_gib


def gpu_needs(plan: Plan) -> list[GpuNeed]:
    """By server, and for the learner. Models of unknown size are left out."""
    needs = []
    for name, server in plan.config.own_servers.items():
        size = plan.models[name].size
        if not server.gpus or size is None:
            continue
        weights = size.parameters * BYTES[server.dtype] / server.tensor_parallel / GIB
        needs.append(
            GpuNeed(
                f"server {name}", f"servers.{name}", server.replicas * server.tensor_parallel,
                server.gpus, weights, server.kv_cache_gib, 0.0,
            )
        )  # fmt: skip
    return [*needs, *_learner_need(plan)]


def gpu_problems(plan: Plan, device: Device) -> Iterator[str]:
    """One line for each holder that such a GPU cannot hold."""
    for need in gpu_needs(plan):
        if need.fits(device):
            continue
        if need.field == "learner":
            advice = _learner_advice(plan)
        else:
            advice = f"raise {'gpus' if need.share < 1 else 'tensor_parallel'}, lower kv_cache_gib"
        yield (
            f"{need.field}: takes {need.total:.1f} GiB of a GPU and {min(need.share, 1.0):g} of "
            f"a {device.name} has {min(need.share, 1.0) * device.memory_gib:.1f}; {advice}, or "
            "take a larger GPU"
        )


def _learner_advice(plan: Plan) -> str:
    learner = plan.config.learner
    checkpointing = "" if learner.gradient_checkpointing else "write gradient_checkpointing: true, "
    adapters = "" if learner.lora else "write lora: {}, "
    return f"{checkpointing}{adapters}raise ranks with zero_stage 2 or 3, lower tokens_per_pack"


def _learner_need(plan: Plan) -> list[GpuNeed]:
    learner = plan.config.learner
    policy = plan.config.roles.policy.server
    size = plan.models[policy].size
    if not learner.gpus_per_rank or size is None:
        return []
    held: dict[str, int] = {}
    for part in plan.memory:
        if part.holder == "learner" and part.place == "GPU":
            held[part.purpose] = held.get(part.purpose, 0) + part.bytes
    weights = held.pop("weights") / learner.ranks / GIB
    training = sum(held.values()) / learner.ranks / GIB
    return [
        GpuNeed("learner", "learner", learner.ranks, learner.gpus_per_rank, weights, 0.0, training)
    ]
