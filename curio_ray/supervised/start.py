"""The supervised start of one role: load or make a model, measure, train, measure, save."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from curio_ray.config import RunConfig
from curio_ray.config.servers import AnyServerConfig
from curio_ray.config.supervised import FRESH, RoleName, SupervisedRoleConfig
from curio_ray.errors import ConfigError, TemplateError
from curio_ray.model_files import save_like_start
from curio_ray.model_paths import locate_model
from curio_ray.model_weights import explain_missing
from curio_ray.roles.chat import ChatFormat, served_format
from curio_ray.roles.verification import verify_role
from curio_ray.run_folder.atomic import sync_tree, write_atomically
from curio_ray.supervised.batches import Group
from curio_ray.supervised.fresh import fresh_model, fresh_tokenizer
from curio_ray.supervised.lessons import Lessons
from curio_ray.supervised.objectives import Objective, OwnWords, Preferences, UserTypes
from curio_ray.supervised.train import Say, train_model
from curio_ray.tasks.base import Task
from curio_ray.template_files import keep_template

METRICS_FILE = "supervised.json"

_OBJECTIVES: dict[RoleName, type[Objective]] = {
    "policy": OwnWords,
    "environment": OwnWords,
    "user_model": UserTypes,
    "reward_model": Preferences,
}


def train_role(config: RunConfig, task: Task, role: RoleName, output: Path, say: Say) -> dict:
    """Train the model of a role and write it to `output`/`role`, with its figures.

    An earlier model there is replaced once the new one is complete.

    Returns:
        What `supervised.json` in the folder holds.

    Raises:
        ConfigError: the start model is missing, or reads less than the longest conversation.
        TemplateError: its chat template cannot be extended token by token.
    """
    started, settings = time.monotonic(), config.supervised
    chosen: SupervisedRoleConfig = getattr(settings, role)
    torch.set_num_threads(settings.threads)
    model, chat = _load(config, task, role)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    lessons = Lessons(role, chat, task)
    training, held_out = lessons.training(chosen, config.seed), lessons.held_out()
    _check_length(role, model, [*training, *held_out])
    objective = _OBJECTIVES[role](chosen.context_weight)
    before = _measured(objective, model, held_out, chosen)
    say(f"{role}: {len(training)} examples, {model.num_parameters():,} parameters")
    steps = train_model(model, objective, training, chosen, settings.precision, config.seed, say)
    figures = {
        "role": role,
        "start": chosen.start,
        "parameters": model.num_parameters(),
        "steps": steps,
        "examples": sum(len(group) for group in training),
        "tokens": sum(len(example) for group in training for example in group),
        "before": before,
        "after": _measured(objective, model, held_out, chosen),
        "seconds": round(time.monotonic() - started, 1),
        "settings": chosen.model_dump(mode="json"),
        "task": config.task.model_dump(mode="json"),
    }
    _save(model, chat, chosen.start, figures, output / role, _server(config, role))
    return figures


def _load(config: RunConfig, task: Task, role: RoleName) -> tuple[PreTrainedModel, ChatFormat]:
    settings = config.supervised
    start = getattr(settings, role).start
    if start == FRESH:
        tokenizer = fresh_tokenizer(task, settings.fresh)
        model = fresh_model(tokenizer, settings.fresh, config.seed)
        return model, _verified_format(config, task, role, tokenizer)
    try:
        folder = locate_model(start)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    except (ConfigError, OSError) as error:
        raise ConfigError(
            f"supervised.{role}.start: '{start}' cannot be loaded ({error}); write a Hugging Face "
            f"id, the folder of a model, or {FRESH}"
        ) from error
    if missing := explain_missing(found):
        raise ConfigError(f"supervised.{role}.start: {start}: {missing}")
    return model, _verified_format(config, task, role, tokenizer)


def _verified_format(
    config: RunConfig, task: Task, role: RoleName, tokenizer: PreTrainedTokenizerBase
) -> ChatFormat:
    """The format with the template of the server that will serve the model in this role."""
    start, server = getattr(config.supervised, role).start, getattr(config.roles, role).server
    try:
        chat = served_format(tokenizer, start, config.servers, server, config.template_clock)
        verify_role(role, chat, task)
    except TemplateError as error:
        raise TemplateError(f"supervised.{role}.start: {error}") from error
    return chat


def _server(config: RunConfig, role: RoleName) -> AnyServerConfig:
    return config.servers[getattr(config.roles, role).server]


def _check_length(role: str, model: PreTrainedModel, groups: list[Group]) -> None:
    longest = max(len(example) for group in groups for example in group)
    most = getattr(model.config, "max_position_embeddings", None)
    if most is not None and longest > most:
        raise ConfigError(
            f"supervised.{role}: the longest conversation has {longest} tokens and the model reads "
            f"{most}; start from another model, or raise supervised.fresh.context"
        )


def _measured(
    objective: Objective, model: PreTrainedModel, groups: list[Group], config: SupervisedRoleConfig
) -> dict[str, Any] | None:
    """None where the held-out split has no recorded conversations."""
    return objective.measure(model, groups, config.micro_batch) if groups else None


def _save(
    model: PreTrainedModel,
    chat: ChatFormat,
    start: str,
    figures: dict[str, Any],
    folder: Path,
    server: AnyServerConfig,
) -> None:
    unfinished, old = (folder.with_name(f".{folder.name}-{state}") for state in ("new", "old"))
    for leftover in (unfinished, old):
        shutil.rmtree(leftover, ignore_errors=True)
    if start == FRESH:
        model.save_pretrained(unfinished)
        chat.tokenizer.save_pretrained(unfinished)
    else:
        save_like_start(model, locate_model(start), unfinished)
    keep_template(unfinished, server.chat_template, server.chat_template_kwargs)
    write_atomically(unfinished / METRICS_FILE, json.dumps(figures, indent=2) + "\n")
    sync_tree(unfinished)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
