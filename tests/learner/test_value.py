"""The value's head: its scale, its gradient apart from the policy's, and when it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.errors import CheckpointError
from curio_ray.learner.sequences import TrainingSequence
from curio_ray.learner.value import TargetScale

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]
Weights = Callable[[Any], dict[str, np.ndarray]]

KINDS: list[dict[str, Any]] = [
    {"zero_stage": 0},
    *({"zero_stage": stage, "precision": "float32"} for stage in (1, 2, 3)),
    *({"zero_stage": stage, "precision": "bfloat16"} for stage in (1, 2, 3)),
    *({"zero_stage": stage, "lora": {"rank": 2}} for stage in (0, 3)),
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=str)


def with_targets(
    sequences: list[TrainingSequence], of: Callable[[np.ndarray], np.ndarray]
) -> list[TrainingSequence]:
    return [replace(s, value_targets=of(s.value_targets).astype(np.float32)) for s in sequences]


def without_advantages(sequences: list[TrainingSequence]) -> list[TrainingSequence]:
    return [replace(s, advantages=np.zeros_like(s.advantages)) for s in sequences]


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(left[name], right[name]) for name in left)


def values_of(engine: Any, sequences: list[TrainingSequence]) -> np.ndarray:
    scores = engine.score(sequences)
    return np.concatenate([scores[index].values for index in range(len(sequences))])


@EVERY_KIND
def test_a_large_gradient_of_the_value_leaves_the_policys_step_as_it_is(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    kind: dict[str, Any],
) -> None:
    sequences, weights, norms = make_sequences(6), [], []
    for factor in (1, 1000):
        engine = make_engine(value={"normalise": False}, gradient_clip=0.1, **kind)
        metrics = engine.update(with_targets(sequences, lambda targets, by=factor: targets * by))
        weights.append(policy_weights(engine))
        norms.append((metrics["gradient_norm"], metrics["value_gradient_norm"]))
    assert same(*weights)
    (policy, value), (same_policy, large) = norms
    assert policy == same_policy > 0.1
    assert large == pytest.approx(1000 * value, rel=1e-2)


@EVERY_KIND
def test_the_values_own_gradient_is_clipped_to_its_own_norm(
    make_engine: MakeEngine, make_sequences: MakeSequences, kind: dict[str, Any]
) -> None:
    engine = make_engine(value={"normalise": False, "gradient_clip": 0.5}, **kind)
    huge = with_targets(make_sequences(6), lambda targets: targets * 1000)
    assert engine.update(huge)["value_gradient_norm"] > 100
    moments = [t for name, t in engine.value.tensors().items() if name.startswith("exp_avg.")]
    # after one step AdamW's first moment is a tenth of the clipped gradient
    norm = torch.stack([moment.norm() for moment in moments]).norm()
    assert float(norm) == pytest.approx(0.05, rel=1e-3)


@EVERY_KIND
def test_the_value_is_float32_whatever_the_policy_is(
    make_engine: MakeEngine, make_sequences: MakeSequences, kind: dict[str, Any]
) -> None:
    engine = make_engine(**kind)
    engine.update(make_sequences(4))
    assert {tensor.dtype for tensor in engine.value.tensors().values()} == {torch.float32}


@EVERY_KIND
def test_the_value_learns_alone_for_its_warm_up_steps(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    kind: dict[str, Any],
) -> None:
    engine, sequences = make_engine(value={"warmup_steps": 2}, **kind), make_sequences(6)
    start, heads = policy_weights(engine), [engine.value.head.outer.weight.detach().clone()]
    moved = []
    for _ in range(3):
        steps = engine.update(sequences)["optimizer_steps"]
        moved.append((steps, same(start, policy_weights(engine))))
        heads.append(engine.value.head.outer.weight.detach().clone())
    assert moved == [(0, True), (0, True), (1, False)]
    assert not any(torch.equal(a, b) for a, b in pairwise(heads))


@EVERY_KIND
def test_momentum_does_not_move_the_policy_where_there_is_nothing_to_learn(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    kind: dict[str, Any],
) -> None:
    engine, sequences = make_engine(kl_coefficient=0, **kind), make_sequences(6)
    engine.update(sequences)
    before = policy_weights(engine)
    engine.update(without_advantages(sequences))
    assert same(before, policy_weights(engine))
    engine.update(sequences)
    assert not same(before, policy_weights(engine))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-2, 5.0), (100.0, -40.0)])
def test_values_are_learned_in_whatever_units_the_rewards_have(
    make_engine: MakeEngine, make_sequences: MakeSequences, scale: float, offset: float
) -> None:
    sequences = with_targets(make_sequences(6), lambda targets: targets * scale + offset)
    engine = make_engine(learning_rate=1e-9, value={"learning_rate": 1e-2})
    for _ in range(80):
        engine.update(sequences)
    targets = np.concatenate([s.value_targets for s in sequences])
    error = np.square(values_of(engine, sequences) - targets).mean()
    assert error < 0.3 * targets.var()


def test_values_are_zero_before_the_first_update_and_then_near_the_mean(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine = make_engine()
    sequences = with_targets(make_sequences(6), lambda targets: targets * 0.1 + 7)
    assert not values_of(engine, sequences).any()
    engine.update(sequences)
    np.testing.assert_allclose(values_of(engine, sequences), 7, atol=0.5)


@pytest.mark.parametrize("detach", [True, False])
def test_detach_keeps_the_values_gradient_out_of_the_policy(
    make_engine: MakeEngine, make_sequences: MakeSequences, policy_weights: Weights, detach: bool
) -> None:
    sequences, weights = make_sequences(6), []
    for factor in (1, 3):
        engine = make_engine(value={"normalise": False, "detach": detach}, gradient_clip=100)
        for _ in range(2):
            engine.update(with_targets(sequences, lambda targets, by=factor: targets * by))
        weights.append(policy_weights(engine))
    assert same(*weights) is detach


def test_a_value_that_nothing_uses_is_not_learned(
    make_engine: MakeEngine, make_sequences: MakeSequences, policy_weights: Weights
) -> None:
    sequences = make_sequences(6)
    engine, learning = make_engine(learns_value=False), make_engine()
    before = {name: each.clone() for name, each in engine.value.tensors().items()}
    metrics = engine.update(sequences)
    assert "value_loss" not in metrics
    assert metrics["value_gradient_norm"] == 0
    assert all(torch.equal(before[name], each) for name, each in engine.value.tensors().items())
    learning.update(sequences)
    assert same(policy_weights(engine), policy_weights(learning))


def test_the_scale_follows_targets_that_drift() -> None:
    scale, rng = TargetScale(), np.random.default_rng(0)
    for _ in range(200):
        scale.update(rng.normal(3, 2, size=500).astype(np.float32))
    assert (scale.mean, scale.deviation) == pytest.approx((3, 2), rel=0.05)
    for _ in range(200):
        scale.update(rng.normal(-1, 0.5, size=500).astype(np.float32))
    assert (scale.mean, scale.deviation) == pytest.approx((-1, 0.5), rel=0.05)


def test_targets_that_are_all_the_same_are_not_divided_by_their_noise() -> None:
    scale = TargetScale()
    scale.update(np.float32(3e-5) + np.random.default_rng(0).normal(0, 1e-7, 100))
    assert scale.deviation == 1e-3


def test_a_state_without_its_value_is_refused_by_file(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    make_engine().save(tmp_path)
    (tmp_path / "value.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"value\.safetensors"):
        make_engine().load(tmp_path)
