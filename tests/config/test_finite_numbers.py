"""Every number of a config is finite: fields, schedules, and the options of plug-ins."""

import pytest

from curio_ray.config import load_config
from curio_ray.config.loading import with_value
from curio_ray.errors import ConfigError

FIELDS = [
    "learner.learning_rate",
    "learner.kl_coefficient",
    "learner.gradient_clip",
    "learner.weight_decay",
    "credit.gae_lambda",
    "rewards.task.weight",
    "rewards.intrinsic.weight",
    "roles.policy.temperature",
    "servers.frozen.kv_cache_gib",
    "supervised.policy.epochs",
]


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e400"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_number_that_is_not_finite_is_refused_by_its_field(field, number):
    with pytest.raises(ConfigError, match=rf"{field}: .*; write a finite number"):
        load_config("pocket", [f"{field}={number}"])


@pytest.mark.parametrize("number", ["'inf'", "'nan'", "'-Infinity'", "'1e999'"])
def test_a_text_that_says_an_infinite_number_is_refused_as_well(number):
    with pytest.raises(ConfigError, match=r"learner\.learning_rate: .*; write a finite number"):
        load_config("pocket", [f"learner.learning_rate={number}"])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ("task.options.share=.nan", r"task\.options\.share"),
        ("task.options={shares: [0.5, .inf]}", r"task\.options\.shares"),
        ("task.options={deep: {er: [{rate: .inf}]}}", r"task\.options\.deep\.er\.rate"),
        ("learner.loss={name: custom, function: m:f, options: {a: .inf}}", r"loss\.options\.a"),
    ],
)
def test_options_of_a_plug_in_are_finite(change, path):
    with pytest.raises(ConfigError, match=rf"{path}: (inf|nan) does not work; write a finite"):
        load_config("pocket", [change])


def test_a_varied_number_is_finite():
    with pytest.raises(ConfigError, match=r"learner\.learning_rate: inf does not work"):
        with_value(load_config("pocket"), "learner.learning_rate", float("inf"))
