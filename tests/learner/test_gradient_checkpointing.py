"""Layers that are computed again in the backward pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.model import PolicyWithStates
from curio_ray.learner.model_loading import build_policy
from curio_ray.learner.packing import pack_tensors
from curio_ray.learner.sequences import TrainingSequence

MakeSequences = Callable[..., list[TrainingSequence]]


def gradients(model: PolicyWithStates, sequences: list[TrainingSequence]) -> dict[str, Any]:
    log_probs, states = model(pack_tensors(sequences, torch.device("cpu")))
    (log_probs.sum() + states.square().sum()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def build(folder: str, checkpointing: bool, **fields: Any) -> PolicyWithStates:
    config = LearnerConfig(gradient_checkpointing=checkpointing, **fields)
    return build_policy(folder, config, 1.0, seed=0)


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_the_gradients_are_the_same(
    model_folder: str, make_sequences: MakeSequences, lora: dict[str, int] | None
) -> None:
    sequences = make_sequences(4)
    kept, computed_again = (
        gradients(build(model_folder, checkpointing, lora=lora), sequences)
        for checkpointing in (False, True)
    )
    torch.testing.assert_close(computed_again, kept, rtol=0, atol=0)


def test_every_layer_is_computed_twice(model_folder: str, make_sequences: MakeSequences) -> None:
    model, calls = build(model_folder, checkpointing=True), []
    layer = model.language_model.model.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients(model, make_sequences(4))
    assert len(calls) == 2


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("lora", [None, {"rank": 2}])
def test_updates_are_the_same_at_every_zero_stage(
    make_engine: Callable[..., Any],
    make_sequences: MakeSequences,
    policy_weights: Callable[[Any], dict[str, np.ndarray]],
    wide_model_folder: str,
    stage: int,
    lora: dict[str, int] | None,
) -> None:
    weights = []
    for checkpointing in (False, True):
        engine = make_engine(
            wide_model_folder, zero_stage=stage, gradient_checkpointing=checkpointing, lora=lora
        )
        engine.update(make_sequences(6))
        weights.append(policy_weights(engine))
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
