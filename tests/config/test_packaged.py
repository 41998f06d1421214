"""The configs that are found by name, from anywhere."""

from pathlib import Path

import pytest

from curio_ray.config.packaged import packaged_config, packaged_names
from curio_ray.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_config_of_the_checkout_has_a_name():
    assert packaged_names() == sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def test_a_packaged_config_is_the_checkouts_file_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert packaged_config("pocket").resolve() == CONFIGS / "pocket.yaml"


@pytest.mark.parametrize("name", ["pockt", "../pocket", "pocket.yaml"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ConfigError, match="no such packaged config; write educ"):
        packaged_config(name)
