"""The simulated user's curriculum: small personas first."""

from __future__ import annotations

import torch

from curio_ray.pocket.render import Renderer
from curio_ray.pocket.world import ATTRIBUTES


class Curriculum:
    """The persona size: it grows by three whenever almost all values are looked up right.

    Looking a value up is an induction step, which a network learns late and suddenly: among 20
    attributes it stays at chance for hundreds of steps, among three it does not.
    """

    growth = 3
    accuracy = 0.9

    def __init__(self, renderer: Renderer) -> None:
        self.persona_size = self.growth
        values = [value for pair in ATTRIBUTES.values() for value in pair]
        self._value_ids = torch.tensor([renderer.word(value) for value in values])

    @property
    def finished(self) -> bool:
        """Whether personas have all their attributes."""
        return self.persona_size == len(ATTRIBUTES)

    def observe(self, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """Grow if the values in this batch were right: both [targets, vocabulary]."""
        wanted = targets.argmax(-1)
        is_value = torch.isin(wanted, self._value_ids)
        right = logits[is_value].argmax(-1) == wanted[is_value]
        if right.float().mean() > self.accuracy:
            self.persona_size = min(self.persona_size + self.growth, len(ATTRIBUTES))
