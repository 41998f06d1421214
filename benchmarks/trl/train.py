"""TRL's GRPO trainer on a run's task and models, some steps at a time on command.

Reads lines from standard input: first the settings as JSON, then numbers of optimizer steps. For
each number it takes as many steps and writes one line of JSON: seconds, counts, seconds by phase.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset
from dialogues import BatchedDialogues, Reading
from spoken_lengths import STUDENT, TEACHER
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from curio_ray.config import RunConfig, load_config
from curio_ray.dialogue import User
from curio_ray.model_paths import locate_model
from curio_ray.tasks.registry import make_task


class Steps(TrainerCallback):
    """Takes as many steps as it is told and reports; ends with the input."""

    def __init__(self, dialogues: BatchedDialogues, counts: dict[str, float], answers: Any) -> None:
        self._dialogues, self._counts, self._answers = dialogues, counts, answers
        self._left = 0
        self._began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait for the first order."""
        self._answer({"ready": True})
        self._await_order(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report when the ordered steps are over, and wait for the next order."""
        self._left -= 1
        if self._left:
            return
        seconds = time.perf_counter() - self._began
        phases = dict(self._dialogues.seconds.by_phase)
        phases["learning"] = seconds - sum(phases.values())
        self._answer({"seconds": seconds, **self._counts, "phases": phases})
        self._await_order(control)

    def _await_order(self, control: Any) -> None:
        order = sys.stdin.readline().strip()
        if not order:
            control.should_training_stop = True
            return
        self._dialogues.seconds.by_phase.clear()
        self._counts.update(dict.fromkeys(self._counts, 0.0))
        self._left, self._began = int(order), time.perf_counter()

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


class Rollout:
    """TRL's rollout function: a dialogue for each prompt, which names the user.

    With `one_by_one` a dialogue begins when the one before is over.
    """

    def __init__(
        self, dialogues: BatchedDialogues, users: Mapping[str, User], one_by_one: bool
    ) -> None:
        self._dialogues, self._users, self._one_by_one = dialogues, users, one_by_one
        counted = ("dialogues", "policy_turns", "policy_tokens", "context_tokens", "reward")
        self.counts = dict.fromkeys(counted, 0.0)

    def __call__(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """Hold the dialogues with the trainer's own way of generating."""

        def sample(contexts: list[list[int]]) -> list[list[int]]:
            endings = self._dialogues.policy_endings
            limits = endings.limits(len(contexts))
            trainer.generation_config.max_new_tokens = max(limits)
            rows, _ = trainer._generate_single_turn(contexts, None, {}, 1)
            return endings.cut(rows, limits)

        users = [self._users[each] for each in prompts]
        groups = [[user] for user in users] if self._one_by_one else [users]
        held = [each for group in groups for each in self._dialogues.hold(group, sample)]
        masks = [
            [int(turn.speaker == "policy") for turn in dialogue.turns for _ in turn.token_ids]
            for dialogue in held
        ]
        self.counts["dialogues"] += len(held)
        self.counts["policy_turns"] += sum(len(dialogue.policy_turns) for dialogue in held)
        self.counts["policy_tokens"] += sum(map(sum, masks))
        self.counts["context_tokens"] += sum(len(dialogue.token_ids) for dialogue in held)
        rewards = [self._dialogues.reward(dialogue) for dialogue in held]
        self.counts["reward"] += sum(rewards)
        return {
            "prompt_ids": [dialogue.prompt_ids for dialogue in held],
            "completion_ids": [dialogue.token_ids[len(dialogue.prompt_ids) :] for dialogue in held],
            "logprobs": None,
            "env_mask": masks,
            "earned": rewards,
        }


def earned(completions: list[Any], earned: list[float], **_: Any) -> list[float]:
    """TRL's reward function: what the rollout function found."""
    return earned


def main(answers: Any) -> None:
    """Build the trainer and let it follow orders."""
    settings = json.loads(sys.stdin.readline())
    torch.set_num_threads(settings["threads"])
    config = load_config(settings["config"], settings["overrides"])
    task = make_task(config.task, config.seed)
    verdicts = {user: Reading(**each) for user, each in settings["verdicts"].items()}
    speakers = (TEACHER, STUDENT) if settings["long_talk"] else (None, None)
    dialogues = BatchedDialogues(config, task, Reading(**settings["belief"]), verdicts, speakers)
    users = {user.id: user for user in task.users("train")}
    rollout = Rollout(dialogues, users, settings["one_by_one"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=locate_model(config.servers[config.roles.policy.server].model),
            reward_funcs=[earned],
            args=GRPOConfig(
                output_dir=folder,
                generation_kwargs={"eos_token_id": dialogues.policy_endings.ends},
                **arguments(config),
            ),
            train_dataset=Dataset.from_dict({"prompt": list(users)}),
            rollout_func=rollout,
        )
        trainer.eos_token_ids = dialogues.policy_endings.ends
        trainer.add_callback(Steps(dialogues, rollout.counts, answers))
        trainer.train()


def arguments(config: RunConfig) -> dict[str, Any]:
    """The trainer's arguments: the run's own where it has them, else what is fastest here."""
    return {
        "per_device_train_batch_size": config.training.dialogues_per_iteration,
        "gradient_accumulation_steps": 1,
        "num_generations": config.credit.group_size,
        # TRL means the tokens of one call to generate, which here is one turn.
        "max_completion_length": config.roles.policy.max_tokens,
        "temperature": config.roles.policy.temperature,
        "learning_rate": config.learner.learning_rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": config.learner.gradient_clip,
        "beta": config.learner.kl_coefficient,
        "model_init_kwargs": {"dtype": "float32"},
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "max_steps": 1_000_000,
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": config.seed,
    }


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as standard_output:
        # The libraries print; only answers belong there.
        os.dup2(2, 1)
        main(standard_output)
