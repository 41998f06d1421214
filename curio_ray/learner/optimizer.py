"""The policy's optimizer: AdamW under DeepSpeed, and steps that are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.learner.schedules import warmup_factor

MAX_SKIPPED_IN_A_ROW = 5


def policy_adamw(model: torch.nn.Module, config: LearnerConfig) -> torch.optim.Optimizer:
    """Torch's fused AdamW, which needs no compiler, over the trained parameters."""
    return torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


class PolicyOptimizer:
    """The optimizer steps of a DeepSpeed engine.

    Args:
        engine: what `deepspeed.initialize` returned first.
        optimizer: what it returned second.
        config: the learner's config.
    """

    def __init__(self, engine: Any, optimizer: Any, config: LearnerConfig) -> None:
        self._engine = engine
        self._optimizer = optimizer
        self._config = config
        self.steps = 0
        self.skipped_in_a_row = 0

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    def step(self, factor: float) -> float | None:
        """One step; the gradient's norm before clipping, or None where the step was left out.

        Args:
            factor: the share of the learning rate, besides warm-up.

        Raises:
            LearnerError: too many steps in a row had gradients that are not finite.
        """
        rate = self._config.learning_rate * factor
        for group in self._optimizer.param_groups:
            group["lr"] = rate * warmup_factor(self.steps, self._config.warmup_steps)
        norm, applied = self._guarded_step()
        if applied:
            self.steps += 1
            self.skipped_in_a_row = 0
            return norm
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise LearnerError(
                f"the loss or its gradient was not finite in {self.skipped_in_a_row} optimizer "
                "steps in a row; lower learner.learning_rate or learner.gradient_clip and resume "
                "from an earlier checkpoint"
            )
        return None

    def _guarded_step(self) -> tuple[float, bool]:
        """Step unless the gradient is not finite on some rank; then no rank's weights change.

        ZeRO's own optimizers leave such a step out; plain stage 0 would not.
        """
        if self._config.zero_stage:
            self._engine.step()
            return float(self._engine.get_global_grad_norm()), self._engine.was_step_applied()
        gradients = [p.grad for p in self._engine.module.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not np.isfinite(norm):
            self._engine.zero_grad()
            return norm, False
        self._engine.step()
        return norm, True
