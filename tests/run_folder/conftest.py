"""A dialogue and a config to save."""

from pathlib import Path

import numpy as np
import pytest

from curio_ray.config import RunConfig, load_config
from curio_ray.dialogue import Dialogue, Turn, User

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


@pytest.fixture
def config() -> RunConfig:
    return load_config(POCKET).with_clock()


@pytest.fixture
def dialogues() -> list[Dialogue]:
    first = Dialogue(
        id="train-00001-0",
        user=User("train-00001", 3, {"sleep": "good", "budget": "low"}),
        prompt_ids=[1, 5, 9],
        turns=[
            Turn(
                "policy", "your sleep ?", [4, 5, 2], [-0.1, -2.5, -1e-7], [0, 0, 1],
                rewards={"diff_acc": 0.125, "task": 0.0},
            ),
            Turn("user", "sleep good .", [7, 8], belief=np.array([0.25, 0.75])),
            Turn("policy", "i recommend yoga .", [6], [-0.5], [1], rewards={"task": 1.0}),
        ],
        initial_belief=np.array([0.5, 0.5]),
        success=True,
        attempts=2,
    )  # fmt: skip
    second = Dialogue(
        "train-00002-0", User("train-00002", 0, {}), [1], [Turn("policy", "", [2], [0.0], [0])]
    )
    return [first, second]
