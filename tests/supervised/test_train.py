"""Training on each objective: what is learned, and what the figures say of it."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import TINY

from curio_ray.config.supervised import RoleName, SupervisedRoleConfig
from curio_ray.roles.chat import ChatFormat
from curio_ray.supervised.fresh import fresh_model
from curio_ray.supervised.lessons import Lessons
from curio_ray.supervised.objectives import OwnWords, Preferences, UserTypes
from curio_ray.supervised.train import train_model
from curio_ray.tasks.education.task import EducationTask

OBJECTIVES = {
    "policy": OwnWords,
    "environment": OwnWords,
    "user_model": UserTypes,
    "reward_model": Preferences,
}


def config(**changes: float) -> SupervisedRoleConfig:
    values = {"epochs": 25, "learning_rate": 1e-2, "batch_size": 8, "micro_batch": 8}
    return SupervisedRoleConfig(**{**values, **changes})


def quietly(_: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def start(chat: ChatFormat) -> torch.nn.Module:
    return fresh_model(chat.tokenizer, TINY, seed=0)


@pytest.mark.parametrize("role", list(OBJECTIVES))
def test_what_was_learned_from_is_known_better_afterwards(
    role: RoleName, task: EducationTask, chat: ChatFormat, start: torch.nn.Module
) -> None:
    chosen = config(context_weight=0.1)
    model, objective = copy.deepcopy(start), OBJECTIVES[role](chosen.context_weight)
    groups = Lessons(role, chat, task).training(chosen, seed=0)
    before = objective.measure(model, groups, 8)["loss"]
    train_model(model, objective, groups, chosen, "float32", seed=0, say=quietly)
    assert objective.measure(model, groups, 8)["loss"] < 0.8 * before


def test_small_passes_make_the_same_step_as_one_large_pass(
    task: EducationTask, chat: ChatFormat, start: torch.nn.Module
) -> None:
    losses = []
    groups = Lessons("user_model", chat, task).training(config(epochs=1), seed=0)[:8]
    for micro_batch in (8, 2):
        model, objective = copy.deepcopy(start), UserTypes(context_weight=0.0)
        chosen = config(micro_batch=micro_batch)
        train_model(model, objective, groups, chosen, "float32", seed=0, say=quietly)
        losses.append(objective.measure(model, groups, 8)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_figures_do_not_depend_on_the_batch(
    task: EducationTask, chat: ChatFormat, start: torch.nn.Module
) -> None:
    for role, objective in OBJECTIVES.items():
        groups = Lessons(role, chat, task).training(config(epochs=1), seed=0)[:5]
        alone, together = (objective(0.0).measure(start, groups, size) for size in (1, 5))
        assert alone["loss"] == pytest.approx(together["loss"], rel=1e-4)


def test_a_user_model_that_knows_nothing_believes_in_each_spelling_alike(
    task: EducationTask, chat: ChatFormat, start: torch.nn.Module
) -> None:
    model = copy.deepcopy(start)
    model.lm_head.weight.data.zero_()
    groups = Lessons("user_model", chat, task).held_out()
    found = UserTypes(0.0).measure(model, groups, 8)
    spellings = [(each.label_ids >= 0).sum(axis=1) for (each,) in groups]
    shares = [own[each.label] / own.sum() for own, (each,) in zip(spellings, groups, strict=True)]
    assert found["belief"] == pytest.approx(sum(shares) / len(shares))
    assert sum(found["conversations_by_turn"]) == len(groups)


def test_mixed_precision_trains_and_keeps_float32_weights(
    task: EducationTask, chat: ChatFormat, start: torch.nn.Module
) -> None:
    model, objective = copy.deepcopy(start), OwnWords(0.0)
    groups = Lessons("policy", chat, task).training(config(epochs=1), seed=0)
    train_model(model, objective, groups, config(), "bfloat16", seed=0, say=quietly)
    assert model.lm_head.weight.dtype == torch.float32
    assert not model.lm_head.weight.equal(start.lm_head.weight)
