"""Supervised training of a pocket network, in plain PyTorch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM

from curio_ray.errors import CurioError
from curio_ray.pocket.curriculum import Curriculum
from curio_ray.pocket.examples import Batch, Example, batches_by_length

logger = logging.getLogger(__name__)

LOG_EVERY = 50
MICRO_BATCH = 16

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


def target_logits(network: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Logits [targets, vocabulary] at the positions that have targets."""
    hidden = network.model(input_ids=batch.token_ids, use_cache=False).last_hidden_state
    return network.lm_head(hidden[batch.rows, batch.positions])


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
