"""The value of the states acted from: its head, its scale and its own optimizer.

The head is small and every rank holds it whole, apart from DeepSpeed: in float32 whatever the
policy's type, and with a gradient norm of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import nn

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.sequences import TrainingSequence

MEMORY = 0.95
"""The share that the running mean and deviation of the targets keep of themselves in an update."""
SMALLEST_DEVIATION = 1e-3
"""Targets are divided by no less, in units of the rewards: their noise is not learned as if it
were a signal."""
MOMENTS = ("exp_avg", "exp_avg_sq")


class ValueHead(nn.Module):
    """A small network on the last hidden state. It says 0 everywhere until it is trained."""

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden_size)
        self.outer = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [T, width] of any type to float32[T]."""
        return self.outer(nn.functional.gelu(self.inner(hidden.float())))[:, 0]


@dataclass(slots=True)
class TargetScale:
    """Running mean and mean square of the value targets; `weight` is the sum of their weights.

    Before the first update nothing is known, and a target stands for itself.
    """

    mean_sum: float = 0.0
    square_sum: float = 0.0
    weight: float = 0.0

    def update(self, targets: np.ndarray) -> None:
        """Count the targets of an update, [turns]."""
        exact = targets.astype(np.float64)
        self.mean_sum = MEMORY * self.mean_sum + (1 - MEMORY) * float(exact.mean())
        self.square_sum = MEMORY * self.square_sum + (1 - MEMORY) * float(np.square(exact).mean())
        self.weight = MEMORY * self.weight + (1 - MEMORY)

    @property
    def mean(self) -> float:
        """In units of the rewards."""
        return self.mean_sum / self.weight if self.weight else 0.0

    @property
    def deviation(self) -> float:
        """In units of the rewards."""
        if not self.weight:
            return 1.0
        variance = max(0.0, self.square_sum / self.weight - self.mean**2)
        return max(SMALLEST_DEVIATION, math.sqrt(variance))


class ValueLearner:
    """The value head with AdamW and the running scale of its targets.

    Args:
        width: of the hidden states.
        config: the learner's config.
        seed: of the head's weights.
        device: where it lies.
    """

    def __init__(self, width: int, config: LearnerConfig, seed: int, device: torch.device) -> None:
        self._config = config.value
        self._device = device
        self._betas = (config.beta1, config.beta2)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.head = ValueHead(width, config.value.hidden_size).to(device)
        self.scale = TargetScale()
        self.steps = 0
        self._optimizer = torch.optim.AdamW(
            self.head.parameters(),
            lr=config.value.learning_rate,
            betas=self._betas,
            eps=config.epsilon,
            weight_decay=0.0,
            fused=True,
        )
        self._ensure_moments()

    @torch.no_grad()
    def values(self, states: torch.Tensor) -> torch.Tensor:
        """Values float32[T], in units of the rewards, of states [T, width]."""
        values: torch.Tensor = self.head(states) * self.scale.deviation + self.scale.mean
        return values

    def scaled(self, sequences: Sequence[TrainingSequence]) -> list[TrainingSequence]:
        """Count the targets of an update, and give the sequences with scaled ones to learn."""
        if not self._config.normalise:
            return list(sequences)
        self.scale.update(np.concatenate([each.value_targets for each in sequences]))
        mean, deviation = self.scale.mean, self.scale.deviation
        scaled = [(each.value_targets - mean) / deviation for each in sequences]
        return [
            replace(each, value_targets=targets.astype(np.float32))
            for each, targets in zip(sequences, scaled, strict=True)
        ]

    def step(self, factor: float) -> float | None:
        """One step on the ranks' mean gradient. A collective.

        Args:
            factor: the share of the learning rate.

        Returns:
            The gradient's norm before clipping; None where it is not finite, and nothing is done.
        """
        gradients = [each.grad for each in self.head.parameters() if each.grad is not None]
        for gradient in gradients:
            torch.distributed.all_reduce(gradient)
            gradient /= torch.distributed.get_world_size()
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = bool(norm.isfinite())
        if finite:
            clip = self._config.gradient_clip
            torch.nn.utils.clip_grads_with_norm_(self.head.parameters(), clip, norm)
            self._optimizer.param_groups[0]["lr"] = self._config.learning_rate * factor
            self._optimizer.step()
            self.steps += 1
        self.discard_gradients()
        return float(norm) if finite else None

    def discard_gradients(self) -> None:
        """Forget what the backward passes brought."""
        self._optimizer.zero_grad()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights and AdamW's moments by name. Writing to them writes to the learner."""
        return dict(self._tensors())

    def counters(self) -> dict[str, Any]:
        """What besides tensors the next step depends on."""
        return {"steps": self.steps, "scale": asdict(self.scale)}

    def set_counters(self, counters: dict[str, Any]) -> None:
        """Take up what `counters` gave."""
        self.steps = counters["steps"]
        self.scale = TargetScale(**counters["scale"])
        for state in self._optimizer.state.values():
            state["step"].fill_(self.steps)

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, parameter in self.head.named_parameters():
            yield f"weight.{name}", parameter.detach()
            for kind in MOMENTS:
                yield f"{kind}.{name}", self._optimizer.state[parameter][kind]

    def _ensure_moments(self) -> None:
        """Make the state that AdamW would make at its first step."""
        for parameter in self.head.parameters():
            self._optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=self._device),
                **{kind: torch.zeros_like(parameter) for kind in MOMENTS},
            }
