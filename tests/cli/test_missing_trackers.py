"""A tracker whose library is not installed ends the command before anything is started."""

from importlib.util import find_spec
from pathlib import Path

import pytest

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_names_its_extra(curio, name):
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    ended = curio("train", str(POCKET), "--set", f"tracking.{name}={{}}", "--output", "run")
    assert (ended.code, ended.heavy_modules) == (2, ["transformers"])
    assert f"tracking.{name}: the library is not installed" in ended.error
    assert f"pip install 'curio-ray[{name}]'" in ended.error
