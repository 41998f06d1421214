"""Leaves out tokens on which the learner and the server that sampled them are far apart."""

import torch

from curio_ray.learner.losses import Mean, PolicyLoss, importance_ratios
from curio_ray.learner.packing import PackedTensors


def masked(
    pack: PackedTensors, log_probs: torch.Tensor, *, low: float = 0.5, high: float = 2.0
) -> PolicyLoss:
    """REINFORCE over the tokens whose importance ratio lies between the bounds."""
    ratios = importance_ratios(log_probs, pack.behaviour_log_probs)
    kept = (ratios >= low) & (ratios <= high)
    total = -(kept * ratios * pack.advantages * log_probs).sum()
    return PolicyLoss(total, per="token", metrics={"masked_share": Mean.of(~kept)})
