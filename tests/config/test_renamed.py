"""Names of earlier versions end with an error that says what to write."""

import pytest

from curio_ray.config import load_config, renamed
from curio_ray.config.renamed import renamed_problems
from curio_ray.errors import ConfigError


@pytest.mark.parametrize("name", ["exercise", "education"])
def test_a_tasks_old_path_is_answered_with_its_registered_name(name):
    path = f"curio_ray.tasks.{name}:{name.title()}Task"
    with pytest.raises(ConfigError, match=f"task.name: {path} is called {name}; write that"):
        load_config("pocket", [f"task.name={path}"])


def test_an_old_field_is_named_with_the_name_that_its_pattern_found(monkeypatch):
    monkeypatch.setitem(renamed.FIELDS, "servers.*.window", "servers.*.max_model_len")
    values = {"servers": {"judge": {"window": None}, "policy": {}}, "window": 3}
    assert list(renamed_problems(values)) == [
        "servers.judge.window: is called servers.judge.max_model_len; write that"
    ]


def test_all_old_names_of_a_config_are_said_at_once():
    with pytest.raises(ConfigError) as error:
        load_config("pocket", ["learner.ratio_cap=2", "credit.estimator=group"])
    assert str(error.value).splitlines()[1:] == [
        "  learner.ratio_cap: is called learner.loss.importance_ratio_cap; write that",
        "  credit.estimator: group is called rloo; write that",
    ]


@pytest.mark.parametrize(("old", "new"), [("true", "mean_std"), ("false", "none")])
def test_the_old_switch_of_normalise_is_answered_with_its_new_name(old, new):
    with pytest.raises(ConfigError, match=f"credit.normalise: {old} is called {new}; write that"):
        load_config("pocket", [f"credit.normalise={old}"])
