"""What the steps of one update add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from curio_ray.learner.metrics import Metric, MetricSums


@dataclass(slots=True)
class StepLog:
    """Figures of packs, and gradient norms of steps."""

    sums: MetricSums = field(default_factory=MetricSums)
    norms: list[float] = field(default_factory=list)
    value_norms: list[float] = field(default_factory=list)
    skipped: int = 0
    steps: int = 0

    def add(self, metrics: Mapping[str, Metric]) -> None:
        """Count a pack."""
        self.sums.add(metrics)

    def step(self, norm: float | None, value_norm: float | None, learns_value: bool) -> None:
        """Count a step by its gradient norms; None where a gradient was not finite."""
        self.steps += 1
        self.skipped += norm is None or (learns_value and value_norm is None)
        if norm is not None:
            self.norms.append(norm)
        if value_norm is not None:
            self.value_norms.append(value_norm)

    def metrics(self, device: torch.device) -> dict[str, float]:
        """The figures of all ranks by name. A collective."""
        norms = {
            "gradient_norm": float(np.mean(self.norms)) if self.norms else 0.0,
            "value_gradient_norm": float(np.mean(self.value_norms)) if self.value_norms else 0.0,
            "skipped_steps": float(self.skipped),
        }
        return self.sums.over_ranks(device) | norms
