"""The policy's loss in a config: a choice of sections, told apart by `name`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from curio_ray.config import RunConfig, load_config, parse_config
from curio_ray.config.losses import PPOLossConfig, ReinforceLossConfig
from curio_ray.config.reference import render_reference
from curio_ray.errors import ConfigError

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
NAMES = "reinforce, ppo, gspo, custom"


def loaded(*overrides: str) -> RunConfig:
    return load_config(POCKET, overrides)


def test_the_default_is_reinforce_with_ratios_up_to_two() -> None:
    assert loaded().learner.loss == ReinforceLossConfig(importance_ratio_cap=2.0)


def test_a_loss_is_chosen_by_its_name_and_has_its_own_fields() -> None:
    loss = loaded("learner.loss.name=ppo", "learner.loss.dual_clip=3").learner.loss
    assert loss == PPOLossConfig(name="ppo", clip_low=0.2, clip_high=0.2, dual_clip=3.0)


def test_a_resolved_config_with_a_loss_says_the_same() -> None:
    config = loaded("learner.loss={name: custom, function: 'a.b:c', options: {low: 1}}")
    assert parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learner.loss.name=pop", f"learner.loss.name: 'pop' does not work; write one of: {NAMES}"),
        (
            "learner.loss={clip_low: 0.1}",
            f"learner.loss.name: is missing; write one of: {NAMES}",
        ),
        (
            "learner.loss={name: ppo, importance_ratio_cap: 2}",
            "learner.loss.importance_ratio_cap: there is no such field; write one of: name, "
            "clip_low, clip_high, dual_clip",
        ),
        (
            "learner.loss={name: gspo, cliplow: 0.1}",
            "learner.loss.cliplow: there is no such field; did you mean clip_low?",
        ),
        ("learner.loss=ppo", "learner.loss: 'ppo' does not work; write a section"),
        (
            "learner.loss={name: ppo, dual_clip: 1}",
            "learner.loss.dual_clip: 1 does not work; write more than 1",
        ),
        (
            "learner.loss={name: custom}",
            "learner.loss.function: is missing; write its value: the function as module:name",
        ),
        (
            "learner.ratio_cap=2",
            "learner.ratio_cap: is called learner.loss.importance_ratio_cap; write that",
        ),
        ("credit.estimator=group", "credit.estimator: group is called rloo; write that"),
    ],
)
def test_a_wrong_loss_is_named_by_its_path_with_what_to_write(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        loaded(override)


def test_the_reference_has_a_table_for_each_loss() -> None:
    page = render_reference()
    assert "| `loss` | section: `reinforce`, `ppo`, `gspo`, `custom` | `reinforce` |" in page
    for name, field in (("reinforce", "importance_ratio_cap"), ("gspo", "clip_low")):
        table = page.partition(f"## `learner.loss` with `name: {name}`")[2].partition("\n## ")[0]
        assert f"| `{field}` |" in table
