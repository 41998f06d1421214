"""Trains a model on an objective with transformers' own Trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from curio_ray.config.supervised import SupervisedRoleConfig
from curio_ray.supervised.batches import Group
from curio_ray.supervised.objectives import Objective

_WARMUP_SHARE = 0.05
_REPORTS = 10

Say = Callable[[str], None]


class ObjectiveTrainer(Trainer):
    """A `Trainer` whose loss is an objective's and whose data keep their order."""

    def __init__(self, objective: Objective, **arguments: Any) -> None:
        super().__init__(data_collator=objective.collate, **arguments)
        self._objective = objective

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """The objective's loss of one micro-batch."""
        return self._objective.loss(model, inputs)


class _Report(TrainerCallback):
    """Says now and then how far the training is."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and "loss" in logs:
            self._say(f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.3f}")


def train_model(
    model: PreTrainedModel,
    objective: Objective,
    groups: Sequence[Group],
    config: SupervisedRoleConfig,
    precision: str,
    seed: int,
    say: Say,
) -> int:
    """Learn from the groups once, in their order; changes the model and returns the steps."""
    with tempfile.TemporaryDirectory(prefix="curio-sft-") as scratch:
        steps = -(-len(groups) // config.batch_size)
        arguments = TrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=config.micro_batch,
            gradient_accumulation_steps=config.batch_size // config.micro_batch,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            lr_scheduler_type="cosine",
            warmup_steps=int(_WARMUP_SHARE * steps),
            bf16=precision == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            logging_steps=max(1, steps // _REPORTS),
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        trainer = ObjectiveTrainer(
            objective,
            model=model,
            args=arguments,
            train_dataset=list(groups),
            callbacks=[_Report(say)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return int(trainer.state.global_step)
