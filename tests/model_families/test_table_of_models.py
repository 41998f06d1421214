"""The page of models says what its test finds; the slow test serves the models that it names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_table import PAGE, SERVED, table

from curio_ray.architectures import FUSED_EXPERTS

HERE = Path(__file__).parent


def test_the_page_of_models_has_the_table_as_the_package_makes_it() -> None:
    assert table() in PAGE.read_text()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """By architecture: how far servers and learner differ, before and after new weights."""
    asked = [*SERVED, "Qwen3MoeForCausalLM"]
    done = subprocess.run(
        [sys.executable, HERE / "serve_tiny_models.py", tmp_path_factory.mktemp("models"), *asked],
        env={**os.environ, "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"},
        capture_output=True, text=True, timeout=580, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line.pop("architecture"): line for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SERVED)
def test_server_and_learner_agree_before_and_after_new_weights(
    served: dict[str, dict[str, float]], architecture: str
) -> None:
    assert served[architecture] == pytest.approx({"start": 0, "updated": 0}, abs=2e-4)


@pytest.mark.slow
def test_servers_do_not_take_fused_experts(served: dict[str, dict[str, float]]) -> None:
    assert "Qwen3MoeForCausalLM" in FUSED_EXPERTS
    assert served["Qwen3MoeForCausalLM"]["updated"] > 0.1
