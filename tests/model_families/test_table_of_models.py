"""The page of models says what its test finds; the slow test serves the models that it names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_table import PAGE, SERVED, table
from serve_tiny_models import CHANGED, PROMPT

from curio_ray.architectures import FUSED_EXPERTS
from curio_ray.learner.model_loading import build_reference_model
from curio_ray.learner.packing import pack_tensors
from curio_ray.learner.sequences import TrainingSequence

HERE = Path(__file__).parent


def test_the_page_of_models_has_the_table_as_the_package_makes_it() -> None:
    assert table() in PAGE.read_text()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """By architecture: how far servers and learner differ, before and after new weights."""
    folder, asked = tmp_path_factory.mktemp("models"), [*SERVED, "Qwen3MoeForCausalLM"]
    done = subprocess.run(
        [sys.executable, HERE / "serve_tiny_models.py", folder, *asked],
        env={**os.environ, "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"},
        capture_output=True, text=True, timeout=580, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert not [line for line in lines if "error" in line]
    return {
        line["architecture"]: {
            when: gap(f"{folder}/{line['architecture']}{suffix}", *line[when])
            for when, suffix in (("start", ""), ("updated", CHANGED))
        }
        for line in lines
    }


def gap(model: str, token_ids: list[int], log_probs: list[float]) -> float:
    """Largest difference to the learner's log-probabilities of the sampled ids, in nats."""
    ids = np.array(PROMPT + token_ids, dtype=np.int32)
    sampled, zeros = np.arange(len(ids)) >= len(PROMPT), np.zeros(len(ids), dtype=np.float32)
    start = np.array([len(PROMPT) - 1])
    sequence = TrainingSequence(ids, sampled, zeros, start, zeros, np.zeros(1, dtype=np.float32))
    pack = pack_tensors([sequence, sequence], torch.device("cpu"))
    own = build_reference_model(model, "float32", 1.0)(pack)[: len(token_ids)]
    return float(np.abs(own.numpy() - np.array(log_probs)).max())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SERVED)
def test_server_and_learner_agree_before_and_after_new_weights(
    served: dict[str, dict[str, float]], architecture: str
) -> None:
    assert served[architecture] == pytest.approx({"start": 0, "updated": 0}, abs=2e-4)


@pytest.mark.slow
def test_servers_do_not_take_fused_experts(served: dict[str, dict[str, float]]) -> None:
    assert "Qwen3MoeForCausalLM" in FUSED_EXPERTS
    assert served["Qwen3MoeForCausalLM"]["start"] < 2e-4
    assert served["Qwen3MoeForCausalLM"]["updated"] > 0.1
