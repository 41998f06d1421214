"""A loss with a fault: its metrics have other names for a pack without tokens."""

from __future__ import annotations

import torch

from curio_ray.learner.losses import Mean, PolicyLoss
from curio_ray.learner.packing import PackedTensors


def named_by_its_tokens(pack: PackedTensors, log_probs: torch.Tensor) -> PolicyLoss:
    """REINFORCE that reports a share only where there is one."""
    total = -(pack.advantages * log_probs).sum()
    metrics = {"positive_share": Mean.of(pack.advantages > 0)} if len(log_probs) else {}
    return PolicyLoss(total, "token", metrics)
