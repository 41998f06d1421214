"""The recipe's machinery, with schedules of a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from curio_ray.errors import CurioError
from curio_ray.pocket.build import load_model, save_model
from curio_ray.pocket.encoder import build_tokenizer
from curio_ray.pocket.lessons import train_policy, train_world
from curio_ray.pocket.network import build_network
from curio_ray.pocket.train import Schedule


def test_the_same_seed_trains_the_same_policy() -> None:
    first, second = (train_policy(build_tokenizer(), 0, Schedule(steps=2)) for _ in range(2))
    for name, weights in first.state_dict().items():
        torch.testing.assert_close(weights, second.state_dict()[name], rtol=0, atol=0)


def test_a_curriculum_that_is_not_learned_is_an_error() -> None:
    with pytest.raises(CurioError, match="another seed"):
        train_world(build_tokenizer(), 0, Schedule(steps=1))


def test_a_saved_model_replaces_the_old_one_whole(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    for seed in (0, 1):
        save_model(build_network(tokenizer, seed), tokenizer, tmp_path / "world")
    expected = build_network(tokenizer, 1).state_dict()
    torch.testing.assert_close(load_model(tmp_path / "world").state_dict(), expected)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "world")) == len(tokenizer)
    assert [entry.name for entry in tmp_path.iterdir()] == ["world"]
