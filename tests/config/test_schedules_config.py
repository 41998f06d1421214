"""The KL coefficient in a config: a number, a schedule or a target."""

from __future__ import annotations

import pytest

from curio_ray.config import load_config, parse_config
from curio_ray.config.reference import render_reference
from curio_ray.config.schedules import KLScheduleConfig, KLTargetConfig
from curio_ray.errors import ConfigError

FIELD = "learner.kl_coefficient"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0.02", 0.02),
        (
            "{start: 0.3, end: 0.01, iterations: 100}",
            KLScheduleConfig(start=0.3, end=0.01, iterations=100),
        ),
        ("{target: 0.1}", KLTargetConfig(target=0.1, start=0.01, change=0.1)),
    ],
)
def test_each_form_is_read_and_said_again(written: str, expected: object) -> None:
    config = load_config("pocket", [f"{FIELD}={written}"])
    assert config.learner.kl_coefficient == expected
    assert parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("-1", f"{FIELD}: -1 does not work; write 0.0 or more"),
        ("much", f"{FIELD}: 'much' does not work; write a number"),
        ("{start: 0.3, end: 0.1}", f"{FIELD}.iterations: is missing"),
        ("{start: -3, end: 0.1, iterations: 5}", f"{FIELD}.start: -3 does not work"),
        (
            "{target: 0.1, end: 0.2}",
            f"{FIELD}.end: there is no such field; write one of: target, start, change",
        ),
    ],
)
def test_a_wrong_coefficient_is_named_by_its_path(written: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("pocket", [f"{FIELD}={written}"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("written", "has_kl"),
    [("0", False), ("0.01", True), ("{start: 0, end: 0.1, iterations: 9}", True)],
)
def test_a_coefficient_that_may_rise_needs_the_start_policy(written: str, has_kl: bool) -> None:
    assert load_config("pocket", [f"{FIELD}={written}"]).learner.has_kl is has_kl


def test_the_reference_tells_all_forms() -> None:
    (row,) = [line for line in render_reference().splitlines() if "| `kl_coefficient` |" in line]
    assert "number, or section: `schedule`, `target` | `0.01`" in row


def test_a_value_that_nothing_uses_needs_no_warm_up() -> None:
    overrides = ["credit.estimator=rloo", "credit.group_size=4", "learner.value.warmup_steps=3"]
    with pytest.raises(ConfigError, match=r"learner\.value\.warmup_steps: rloo uses no value"):
        load_config("pocket", overrides)
