"""The turn-level value: one number per state that the policy acts from."""

from __future__ import annotations

import torch
from torch import nn


class ValueHead(nn.Module):
    """A small network on the last hidden state. It says 0 everywhere until it is trained."""

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden_size)
        self.outer = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [T, width] to values float32[T]."""
        return self.outer(nn.functional.gelu(self.inner(hidden)))[:, 0].float()
