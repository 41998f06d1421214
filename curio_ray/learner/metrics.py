"""Sums of a minibatch on one rank, and the metrics that all ranks' sums give."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.distributed

SUMS = (
    "policy_loss",
    "kl",
    "value_loss",
    "ratio",
    "clipped",
    "negative_log_prob",
    "tokens",
    "turns",
)


@dataclass(slots=True)
class MetricSums:
    """What an update adds up, pack by pack: sums over tokens and turns, and one maximum.

    They stay on the packs' device: to look at a number would wait for the GPU.
    """

    sums: dict[str, torch.Tensor | float] = field(default_factory=dict)
    largest_deviation: torch.Tensor | float = 0.0

    def add(self, ratios: torch.Tensor, ratio_cap: float, **sums: torch.Tensor | float) -> None:
        """Add a pack: its importance ratios [A] and its sums by name."""
        sums |= {
            "ratio": ratios.sum(),
            "clipped": (ratios > ratio_cap).sum(),
            "tokens": float(len(ratios)),
        }
        for name, value in sums.items():
            amount = value.detach().double() if isinstance(value, torch.Tensor) else value
            self.sums[name] = self.sums.get(name, 0.0) + amount
        if len(ratios):
            deviation = (ratios - 1).abs().max().double()
            self.largest_deviation = deviation.clamp(min=self.largest_deviation)

    def means(self, device: torch.device) -> dict[str, float]:
        """The means over all ranks. A collective: every rank must call it."""
        totals = torch.stack([_scalar(self.sums.get(name, 0.0), device) for name in SUMS])
        largest = _scalar(self.largest_deviation, device)
        torch.distributed.all_reduce(totals)
        torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
        total = dict(zip(SUMS, totals.tolist(), strict=True))
        tokens, turns = max(total["tokens"], 1.0), max(total["turns"], 1.0)
        return {
            "policy_loss": total["policy_loss"] / tokens,
            "kl": total["kl"] / tokens,
            "value_loss": total["value_loss"] / turns,
            "ratio_mean": total["ratio"] / tokens,
            "ratio_max_deviation": largest.item(),
            "clipped_share": total["clipped"] / tokens,
            "entropy": total["negative_log_prob"] / tokens,
            "policy_tokens": total["tokens"],
        }


def _scalar(value: torch.Tensor | float, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device=device)
