"""AdamW's step after a long time of small gradients, as a token of probability 1 has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.optimizer import policy_adamw

RATE = 1e-3


def move_after_small_gradients(small: float, **fields: Any) -> float:
    """How far a gradient of 0.01 moves weights after 2,000 small ones, in learning rates."""
    model = torch.nn.Linear(8, 1, bias=False)
    optimizer = policy_adamw(model, LearnerConfig(learning_rate=RATE, **fields))
    noise = torch.Generator().manual_seed(0)
    for _ in range(2000):
        model.weight.grad = small * torch.randn(1, 8, generator=noise)
        optimizer.step()
    before = model.weight.detach().clone()
    model.weight.grad = torch.full_like(before, 0.01)
    optimizer.step()
    return float((model.weight.detach() - before).abs().max()) / RATE


@pytest.mark.parametrize("small", [0.0, 1e-9, 1e-7, 1e-5])
def test_one_gradient_after_many_small_ones_moves_no_weight_by_half_the_learning_rate(
    small: float,
) -> None:
    assert move_after_small_gradients(small) < 0.5


def test_with_the_defaults_of_torch_it_would_be_more_than_two_learning_rates() -> None:
    assert move_after_small_gradients(1e-7, beta2=0.999, epsilon=1e-8) > 2


def test_gradients_that_are_float_error_hardly_move_a_weight() -> None:
    def move(**fields: Any) -> float:
        model = torch.nn.Linear(8, 1, bias=False)
        optimizer = policy_adamw(model, LearnerConfig(learning_rate=RATE, **fields))
        before = model.weight.detach().clone()
        for _ in range(10):
            model.weight.grad = torch.full_like(before, 1e-8)
            optimizer.step()
        return float((model.weight.detach() - before).abs().max()) / RATE

    assert move() < 0.11
    assert move(epsilon=1e-8) > 4
