"""Updates that go too far are measured, taken back whole and tried at half the rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from curio_ray.learner.sequences import TrainingSequence
from curio_ray.learner.update_guard import divergence_terms

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]
Weights = Callable[[Any], dict[str, np.ndarray]]

KINDS: list[dict[str, Any]] = [
    {"zero_stage": 0},
    *({"zero_stage": stage, "precision": "float32"} for stage in (1, 2, 3)),
    *({"zero_stage": stage, "precision": "bfloat16"} for stage in (1, 2, 3)),
    *({"zero_stage": stage, "lora": {"rank": 2}} for stage in (0, 1, 3)),
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=str)


def set_limit(engine: Any, limit: float | None) -> None:
    engine.config = engine.config.model_copy(update={"max_update_kl": limit})


def sampled_by(engine: Any, sequences: list[TrainingSequence]) -> list[TrainingSequence]:
    """The sequences as if the engine's policy had sampled them."""
    scores = engine.score(sequences)
    return [replace(s, behaviour_log_probs=scores[i].log_probs) for i, s in enumerate(sequences)]


def saved_tensors(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    return {f"{f.name} {name}": each for f in files for name, each in load_file(f).items()}


@EVERY_KIND
def test_an_update_that_no_rate_makes_small_enough_leaves_the_whole_state_as_it_was(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    tmp_path: Path,
    kind: dict[str, Any],
) -> None:
    engine = make_engine(learning_rate=1e-2, minibatches=2, **kind)
    for seed in range(2):
        engine.update(make_sequences(6, seed=seed))
    engine.save(tmp_path / "before")
    weights = policy_weights(engine)
    sequences = sampled_by(engine, make_sequences(6, seed=3))
    set_limit(engine, 1e-12)
    metrics = engine.update(sequences)
    assert metrics["updates_taken_back"] == 5
    assert metrics["update_kl"] < 1e-6
    after = policy_weights(engine)
    assert all(np.array_equal(weights[name], after[name]) for name in weights)
    engine.save(tmp_path / "after")
    before, restored = saved_tensors(tmp_path / "before"), saved_tensors(tmp_path / "after")
    assert before.keys() == restored.keys()
    assert all(torch.equal(before[name], restored[name]) for name in before)
    twin = make_engine(learning_rate=1e-2, minibatches=2, **kind)
    twin.load(tmp_path / "after")
    set_limit(engine, None)
    assert engine.update(sequences) == twin.update(sequences)
    left, right = policy_weights(engine), policy_weights(twin)
    assert all(np.array_equal(left[name], right[name]) for name in left)


@EVERY_KIND
def test_an_update_is_tried_at_half_the_rate_until_it_is_small_enough(
    make_engine: MakeEngine, make_sequences: MakeSequences, kind: dict[str, Any]
) -> None:
    fields = {"learning_rate": 2e-2, "value": {"learning_rate": 1e-3}, **kind}
    free = make_engine(**fields)
    sequences = sampled_by(free, make_sequences(6))
    set_limit(free, 1e9)
    far = free.update(sequences)
    assert far["updates_taken_back"] == 0
    bound = make_engine(**fields)
    set_limit(bound, far["update_kl"] / 3)
    near = bound.update(sequences)
    assert near["update_kl"] <= far["update_kl"] / 3
    times = near["updates_taken_back"]
    assert times >= 1
    assert near["learning_rate"] == pytest.approx(2e-2 * 0.5**times)
    assert near["optimizer_steps"] == 1
    assert bound.policy_parameters == free.policy_parameters


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_measured_divergence_is_that_of_the_updated_policy_on_the_whole_batch(
    make_engine: MakeEngine, make_sequences: MakeSequences, epochs: int
) -> None:
    engine = make_engine(learning_rate=1e-2, minibatches=2, epochs=epochs, max_update_kl=1e9)
    sequences = sampled_by(engine, make_sequences(7))
    measured = engine.update(sequences)["update_kl"]
    scores = engine.score(sequences)
    differences = np.concatenate(
        [
            (scores[i].log_probs - s.behaviour_log_probs)[s.action_mask].astype(np.float64)
            for i, s in enumerate(sequences)
        ]
    )
    assert measured == pytest.approx((np.exp(differences) - 1 - differences).mean(), rel=1e-4)


def test_the_mean_of_the_terms_is_the_divergence_from_the_sampling_policy() -> None:
    torch.manual_seed(0)
    policy, sampling = torch.randn(5).log_softmax(0), torch.randn(5).log_softmax(0)
    terms = divergence_terms(policy, sampling)
    assert (terms >= 0).all()
    exact = (sampling.exp() * (sampling - policy)).sum()
    torch.testing.assert_close((sampling.exp() * terms).sum(), exact)


def test_without_a_limit_nothing_is_measured(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    metrics = make_engine(max_update_kl=None).update(make_sequences(4))
    assert not {"update_kl", "updates_taken_back"} & metrics.keys()


def test_where_the_policy_stands_still_nothing_is_taken_back(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine = make_engine(value={"warmup_steps": 2}, max_update_kl=1e-12)
    metrics = engine.update(make_sequences(4))
    assert metrics["updates_taken_back"] == 0
    assert engine.value.steps == 1
