"""A learner's state on disk: the next step after a load, at the same ZeRO stage and at others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curio_ray.errors import CheckpointError
from curio_ray.learner.sequences import TrainingSequence

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]
Weights = Callable[[Any], dict[str, np.ndarray]]

OTHER_STAGES = [(1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 1), (0, 3), (3, 0)]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_step_after_a_load_is_bitwise_the_step_after_the_save(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    tmp_path: Path,
    stage: int,
) -> None:
    sequences = make_sequences(6)
    saved = make_engine(zero_stage=stage, minibatches=2)
    saved.update(sequences)
    saved.save(tmp_path)
    expected = saved.update(sequences)
    loaded = make_engine(zero_stage=stage, minibatches=2)
    loaded.load(tmp_path)
    assert loaded.update(sequences) == expected
    left, right = policy_weights(saved), policy_weights(loaded)
    assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(("before", "after"), OTHER_STAGES)
def test_a_state_goes_on_at_another_zero_stage(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    wide_model_folder: str,
    tmp_path: Path,
    before: int,
    after: int,
) -> None:
    sequences = make_sequences(6)
    saved = make_engine(wide_model_folder, zero_stage=before)
    saved.update(sequences)
    saved.save(tmp_path)
    loaded = make_engine(wide_model_folder, zero_stage=after)
    loaded.update(make_sequences(6, seed=1))
    loaded.load(tmp_path)
    assert_same_weights(policy_weights(saved), policy_weights(loaded), atol=0)
    assert loaded.update(sequences) == pytest.approx(saved.update(sequences), rel=1e-5, abs=1e-6)
    assert_same_weights(policy_weights(saved), policy_weights(loaded), atol=2e-5)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2)])
def test_a_bfloat16_state_goes_on_at_another_zero_stage(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    wide_model_folder: str,
    tmp_path: Path,
    before: int,
    after: int,
) -> None:
    sequences = make_sequences(6)
    saved = make_engine(wide_model_folder, zero_stage=before, precision="bfloat16")
    saved.update(sequences)
    saved.save(tmp_path)
    loaded = make_engine(wide_model_folder, zero_stage=after, precision="bfloat16")
    loaded.load(tmp_path)
    assert_same_weights(policy_weights(saved), policy_weights(loaded), atol=0)
    loss = saved.update(sequences)["policy_loss"]
    assert loaded.update(sequences)["policy_loss"] == pytest.approx(loss, abs=1e-3)


def test_a_state_saved_before_the_first_step_can_be_loaded(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    tmp_path: Path,
) -> None:
    fresh = make_engine(zero_stage=2)
    fresh.save(tmp_path)
    loaded = make_engine(zero_stage=2)
    loaded.load(tmp_path)
    for engine in (fresh, loaded):
        engine.update(make_sequences(4))
    assert_same_weights(policy_weights(fresh), policy_weights(loaded), atol=0)


def test_a_folder_without_a_state_is_refused(make_engine: MakeEngine, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no learner state"):
        make_engine().load(tmp_path)


def test_a_state_with_a_missing_part_is_refused_by_file(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    make_engine().save(tmp_path)
    (tmp_path / "exp_avg-rank-0.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"exp_avg-rank-0\.safetensors"):
        make_engine().load(tmp_path)


def test_a_state_of_a_smaller_model_is_refused_by_parameter(
    make_engine: MakeEngine, wide_model_folder: str, tmp_path: Path
) -> None:
    make_engine().save(tmp_path)
    with pytest.raises(CheckpointError, match=r"of 102400 elements of .*mlp"):
        make_engine(wide_model_folder).load(tmp_path)


def assert_same_weights(
    left: dict[str, np.ndarray], right: dict[str, np.ndarray], atol: float
) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=0, atol=atol, err_msg=name)
