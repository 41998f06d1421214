"""Supervised training of a pocket network, in plain PyTorch, and the world model's curriculum."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from curio_ray.errors import CurioError
from curio_ray.pocket.encoder import DialogueEncoder
from curio_ray.pocket.examples import Example, batches_by_length
from curio_ray.pocket.network import target_logits
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES

logger = logging.getLogger(__name__)

LOG_EVERY = 50
MICRO_BATCH = 16
LONGEST_CONVERSATION = 10

Lesson = Sequence[Example]
Answers = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Schedule:
    """AdamW with a linear warm-up to `learning_rate` and a cosine to zero over `steps`."""

    steps: int
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    gradient_clip: float = 1.0


class Trainer:
    """A network with its optimizer."""

    def __init__(self, network: LlamaForCausalLM, schedule: Schedule) -> None:
        self.network = network
        self._schedule = schedule
        self._optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=schedule.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=schedule.weight_decay,
            fused=True,
        )

    def step(self, lessons: Sequence[Lesson], progress: float, steps_done: int) -> list[Answers]:
        """One update on the sum of the lessons' mean losses; `progress` in [0, 1] is the cosine's.

        Returns the network's answers from before the update, one per lesson.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(progress, steps_done)
        self._optimizer.zero_grad()
        answers = [self._backward(lesson) for lesson in lessons]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._schedule.gradient_clip)
        self._optimizer.step()
        return answers

    def _backward(self, lesson: Lesson) -> Answers:
        total = sum(len(example.positions) for example in lesson)
        answers = []
        for batch in batches_by_length(lesson, MICRO_BATCH):
            logits = target_logits(self.network, batch)
            (functional.cross_entropy(logits, batch.targets, reduction="sum") / total).backward()
            answers.append((logits.detach(), batch.targets))
        return torch.cat([logits for logits, _ in answers]), torch.cat([t for _, t in answers])

    def _learning_rate(self, progress: float, steps_done: int) -> float:
        warmup = min((steps_done + 1) / self._schedule.warmup_steps, 1.0)
        return self._schedule.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * progress))


class Curriculum:
    """The persona size: it grows by three when all three roles are almost right.

    Looking a value up, joining several answers to a belief, and telling whether two words are the
    same are learned late and suddenly: among 20 attributes, or at the end of a long transcript, a
    network stays at chance for hundreds of steps; among three, or after one answer, it does not.
    """

    growth = 3
    accuracy = 0.9
    divergence = 0.15

    def __init__(self, encoder: DialogueEncoder) -> None:
        self.persona_size = self.growth
        values = [value for pair in ATTRIBUTES.values() for value in pair]
        self._watched = [
            torch.tensor([encoder.word(word) for word in group])
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


def train(
    network: LlamaForCausalLM,
    schedule: Schedule,
    draw: Callable[[], Sequence[Lesson]],
    curriculum: Curriculum | None = None,
) -> None:
    """Run the schedule on the lessons of `draw`, one update each time.

    A curriculum's steps come before the schedule's and do not count.

    Raises:
        CurioError: the curriculum does not end within ten times the schedule's steps.
    """
    trainer = Trainer(network, schedule)
    counted = done = 0
    while counted < schedule.steps:
        answers = trainer.step(draw(), counted / schedule.steps, done)
        done += 1
        if curriculum is None or curriculum.finished:
            counted += 1
        else:
            curriculum.observe(answers)
        if done % LOG_EVERY == 0:
            losses = [float(functional.cross_entropy(*answer)) for answer in answers]
            text = " ".join(f"{loss:.3f}" for loss in losses)
            logger.info("step %d, %d of %d counted, losses %s", done, counted, schedule.steps, text)
        if done - counted > 10 * schedule.steps:
            raise CurioError("the curriculum's look-ups are not learned; try another seed")
