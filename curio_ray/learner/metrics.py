"""Figures of an update that are added over packs and ranks, whatever their names."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.distributed

from curio_ray.errors import LearnerError


@dataclass(frozen=True, slots=True)
class Mean:
    """A sum, a tensor of shape [], and the number of its terms."""

    total: torch.Tensor
    count: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Mean:
        """The mean of one value per token [A] or per turn [T]; there may be none."""
        return cls(values.sum(), float(len(values)))


@dataclass(frozen=True, slots=True)
class Maximum:
    """The largest of some values that are not negative, a tensor of shape []; of none it is 0."""

    value: torch.Tensor

    @classmethod
    def of(cls, values: torch.Tensor) -> Maximum:
        """The largest of one value per token [A] or per turn [T]; there may be none."""
        return cls(values.max() if len(values) else values.sum())


Metric = Mean | Maximum


def log_prob_gaps(
    log_probs: torch.Tensor, behaviour_log_probs: torch.Tensor, fresh: torch.Tensor
) -> dict[str, Metric]:
    """How far servers and learner are apart on the fresh actions of a pack; all are [A]."""
    gaps = (log_probs.detach() - behaviour_log_probs)[fresh].abs()
    return {
        "log_prob_difference_mean": Mean.of(gaps),
        "log_prob_difference_max": Maximum.of(gaps),
    }


@dataclass(slots=True)
class MetricSums:
    """What an update adds up, pack by pack.

    The numbers stay on the packs' device: to look at one would wait for the GPU.
    """

    totals: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, torch.Tensor] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, Metric]) -> None:
        """Add the figures of a pack."""
        for name, metric in metrics.items():
            if isinstance(metric, Mean):
                total = metric.total.detach().double()
                self.totals[name] = self.totals.get(name, 0.0) + total
                self.counts[name] = self.counts.get(name, 0.0) + metric.count
            else:
                value = metric.value.detach().double()
                self.maxima[name] = torch.maximum(value, self.maxima.get(name, value))

    def over_ranks(self, device: torch.device) -> dict[str, float]:
        """The figures of all ranks by name. A collective: every rank must call it.

        Raises:
            LearnerError: a rank has figures of other names.
        """
        self._check_names(device)
        totals = torch.stack([*self.totals.values()])
        counts = torch.tensor([*self.counts.values()], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(totals)
        torch.distributed.all_reduce(counts)
        means = (totals / counts.clamp(min=1)).tolist()
        results = dict(zip(self.totals, means, strict=True))
        if self.maxima:
            maxima = torch.stack([*self.maxima.values()])
            torch.distributed.all_reduce(maxima, op=torch.distributed.ReduceOp.MAX)
            results |= zip(self.maxima, maxima.tolist(), strict=True)
        return results

    def _check_names(self, device: torch.device) -> None:
        """Ranks whose tensors differ in shape would wait for each other without an end."""
        names = [*self.totals, *self.maxima]
        code = zlib.crc32(" ".join(names).encode())
        ends = torch.tensor([code, -code], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(ends, op=torch.distributed.ReduceOp.MAX)
        if ends.sum():
            raise LearnerError(
                f"learner.loss: this rank has the metrics {', '.join(names)} and another has "
                "others; a loss must return the same names for every pack, with or without tokens"
            )
