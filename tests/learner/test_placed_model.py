"""How a model comes to a rank's device at stage 3: a parameter at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.deepspeed_setup import place_model


@pytest.mark.parametrize("stage", [2, 3])
def test_only_at_stage_3_a_placed_model_is_divided(
    make_engine: Callable[..., Any], stage: int
) -> None:
    make_engine()  # joins the process group
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    place_model(model, LearnerConfig(zero_stage=stage), torch.device("cpu"))
    assert all(hasattr(each, "ds_tensor") == (stage == 3) for each in model.parameters())


def test_deepspeed_is_never_given_a_whole_model_at_stage_3(
    make_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import deepspeed

    given = []
    initialize = deepspeed.initialize

    def watched(*, model: torch.nn.Module, **options: Any) -> Any:
        given.append(all(hasattr(each, "ds_tensor") for each in model.parameters()))
        return initialize(model=model, **options)

    monkeypatch.setattr(deepspeed, "initialize", watched)
    make_engine(zero_stage=3)
    assert given == [True, True]
