"""A supervised start from a folder: its files stay as they are, and its weights must be whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError
from curio_ray.supervised.start import train_role
from curio_ray.tasks.registry import make_task

EDUCATION = Path(__file__).parents[2] / "configs" / "education_pocket.yaml"
SAMPLING = '{"eos_token_id": 2, "temperature": 0.9, "top_p": 0.6}'


def config(start: str) -> RunConfig:
    return load_config(
        EDUCATION,
        [
            "task.options.turns=3",
            "supervised.fresh={layers: 1, width: 64, heads: 2, vocabulary: 700}",
            "supervised.policy.epochs=1",
            f"supervised.policy.start={start}",
        ],
    )


def quietly(_: str) -> None:
    """Says nothing."""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A model that learned for one epoch, with the sampling defaults of older models."""
    made = config("fresh")
    train_role(made, make_task(made.task, made.seed), "policy", tmp_path, quietly)
    folder = (tmp_path / "policy").rename(tmp_path / "start")
    (folder / "generation_config.json").write_text(SAMPLING)
    return folder


def test_what_is_learned_from_a_folder_keeps_its_files_byte_for_byte(
    start: Path, tmp_path: Path
) -> None:
    again = config(str(start))
    train_role(again, make_task(again.task, again.seed), "policy", tmp_path, quietly)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "policy" / name).read_bytes() == (start / name).read_bytes()
    assert json.loads((tmp_path / "policy" / "supervised.json").read_text())["start"] == str(start)


def test_a_start_whose_weights_lack_a_tensor_is_refused(start: Path, tmp_path: Path) -> None:
    values = json.loads((start / "config.json").read_text())
    layers = values["num_hidden_layers"] + 1
    (start / "config.json").write_text(json.dumps(values | {"num_hidden_layers": layers}))
    refused = config(str(start))
    with pytest.raises(ConfigError, match=r"supervised.policy.start: .*the weights lack model"):
        train_role(refused, make_task(refused.task, refused.seed), "policy", tmp_path, quietly)
