"""Updates that go too far: how far one went, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from curio_ray.learner.losses import k3, log_ratios
from curio_ray.learner.value import ValueLearner
from curio_ray.private_api.deepspeed_private import OptimizerShards


def divergence_terms(log_probs: torch.Tensor, behaviour_log_probs: torch.Tensor) -> torch.Tensor:
    """One estimate of KL(μ ‖ π) per token that μ sampled, [A], none negative.

    A token that μ was sure of and π gave up has a large one.
    """
    return k3(log_ratios(log_probs, behaviour_log_probs))


class StateCopy:
    """A copy in main memory of all that a rank trains: weights, AdamW's moments, counters.

    Args:
        shards: of the policy.
        value: the value learner.
    """

    def __init__(self, shards: OptimizerShards, value: ValueLearner) -> None:
        self._shards = shards
        self._value = value
        self._copies: list[torch.Tensor] = []
        self._counters: dict[str, Any] = {}

    def keep(self, counters: Mapping[str, Any]) -> None:
        """Copy the present state, with the learner's counters."""
        self._counters = dict(counters)
        tensors = list(self._tensors())
        if not self._copies:
            self._copies = [torch.empty_like(each, device="cpu") for each in tensors]
        for copy, tensor in zip(self._copies, tensors, strict=True):
            copy.copy_(tensor)

    def restore(self) -> dict[str, Any]:
        """Take up the state that was kept; returns its counters. A collective."""
        for copy, tensor in zip(self._copies, self._tensors(), strict=True):
            tensor.copy_(copy)
        self._shards.set_steps(self._counters["optimizer_steps"])
        self._shards.spread_weights()
        return self._counters

    def _tensors(self) -> Iterator[torch.Tensor]:
        for shard in self._shards:
            yield from shard.tensors.values()
        yield from self._value.tensors().values()
