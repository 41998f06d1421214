"""The world model's curriculum: small personas and short conversations first."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from curio_ray.pocket.encoding import Renderer
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES

LONGEST_CONVERSATION = 10


class Curriculum:
    """The persona size: it grows by three when all three roles are almost right.

    Looking a value up, joining several answers to a belief, and telling whether two words are the
    same are learned late and suddenly: among 20 attributes, or at the end of a long transcript, a
    network stays at chance for hundreds of steps; among three, or after one answer, it does not.
    """

    growth = 3
    accuracy = 0.9
    divergence = 0.15

    def __init__(self, renderer: Renderer) -> None:
        self.persona_size = self.growth
        values = [value for pair in ATTRIBUTES.values() for value in pair]
        self._watched = [
            torch.tensor([renderer.word(word) for word in group])
            for group in (values, words.REWARD_MODEL_LABELS)
        ]

    @property
    def longest_conversation(self) -> int:
        """How many attributes are asked about before a belief or a verdict: one at first."""
        share = (self.persona_size - self.growth) / (len(ATTRIBUTES) - self.growth)
        return max(1, int(share * LONGEST_CONVERSATION))

    @property
    def finished(self) -> bool:
        """Whether personas have all their attributes."""
        return self.persona_size == len(ATTRIBUTES)

    def observe(self, answers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Grow if the last step was right: pairs of logits and targets [targets, vocabulary].

        Values and verdicts must be accurate, and the mean KL divergence of the network from the
        targets, in nats, small in every pair.
        """
        wanted = torch.cat([targets.argmax(-1) for _, targets in answers])
        right = torch.cat([logits.argmax(-1) for logits, _ in answers]) == wanted
        shares = [right[torch.isin(wanted, ids)].float().mean() for ids in self._watched]
        accurate = all(share > self.accuracy for share in shares)
        close = all(_divergence(*answer) < self.divergence for answer in answers)
        if accurate and close:
            self.persona_size = min(self.persona_size + self.growth, len(ATTRIBUTES))


def _divergence(logits: torch.Tensor, targets: torch.Tensor) -> float:
    terms = torch.special.xlogy(targets, targets) - targets * logits.log_softmax(-1)
    return float(terms.sum(-1).mean())
