"""The recipe of the packaged models: tokenizer, data, training, evaluation, model card."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from curio_ray.model_paths import POCKET_MODELS
from curio_ray.pocket.card import model_card
from curio_ray.pocket.encoder import DialogueEncoder, build_tokenizer
from curio_ray.pocket.evaluate_changing_world import evaluate_changing_world
from curio_ray.pocket.evaluate_policy import evaluate_policy
from curio_ray.pocket.evaluate_world import evaluate_world
from curio_ray.pocket.lessons import train_changing_world, train_policy, train_world
from curio_ray.tasks.exercise.rule import majority_share
from curio_ray.tasks.exercise.task import ExerciseTask

logger = logging.getLogger(__name__)

CARD_NAME = "MODEL_CARD.md"
TASK_SEED = 0


def build(output: Path, seed: int = 0, threads: int = 1) -> None:
    """Train all models and write `policy/`, `world/`, `changing_world/` and the card to `output`.

    Existing models there are replaced, each only when the new one is complete.
    """
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer()
    for name, train in (("policy", train_policy), ("world", train_world)):
        logger.info("training pocket:%s", name)
        save_model(train(tokenizer, seed), tokenizer, output / name)
    build_changing_world(output, seed)
    write_card(output, seed)


def build_changing_world(output: Path, seed: int) -> None:
    """Teach the world model in `output` that users change, and write `changing_world/`."""
    logger.info("training pocket:changing_world")
    tokenizer = build_tokenizer()
    network = train_changing_world(load_model(output / "world").train(), tokenizer, seed)
    save_model(network, tokenizer, output / "changing_world")


def save_model(network: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the standard Hugging Face files, so that `folder` is never half written."""
    unfinished, old = (
        folder.with_name(f".{folder.name}-{os.getpid()}-{x}") for x in ("new", "old")
    )
    network.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_card(output: Path, seed: int) -> None:
    """Evaluate the models in `output` on held-out users and write their card."""
    users = ExerciseTask(TASK_SEED).users("held_out")
    tokenizer = build_tokenizer()
    encoder = DialogueEncoder(tokenizer)
    policy, world, changing_world = (load_model(output / name) for name in POCKET_MODELS)
    card = model_card(
        world=evaluate_world(world, encoder, users, seed),
        changing_world=evaluate_world(changing_world, encoder, users, seed),
        changes=tuple(
            evaluate_changing_world(network, encoder, users, seed)
            for network in (world, changing_world)
        ),
        policy=evaluate_policy(policy, encoder, users, seed),
        parameters=world.num_parameters(),
        words=len(tokenizer),
        users=len(users),
        majority=majority_share(user.persona for user in users),
        seed=seed,
        task_seed=TASK_SEED,
    )
    (output / CARD_NAME).write_text(card)


def load_model(folder: Path) -> LlamaForCausalLM:
    """A saved pocket model in float32, for evaluation."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
