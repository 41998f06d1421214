"""The DeepSpeed engine on one rank, for the ZeRO stages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.errors import LearnerError
from curio_ray.learner.losses import LOSSES
from curio_ray.learner.sequences import TrainingSequence

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]
Weights = Callable[[Any], dict[str, np.ndarray]]


def on_policy(model_folder: str, sequences: list[TrainingSequence], log_probs: Callable) -> list:
    """The sequences as if the plain model had sampled them."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    return [
        replace(s, behaviour_log_probs=np.where(s.action_mask, log_probs(model, s.token_ids), 0))
        for s in sequences
    ]


def overflowing(sequences: list[TrainingSequence]) -> list[TrainingSequence]:
    """Finite inputs whose loss is not."""
    huge = np.float32(3e38)
    return [replace(s, advantages=np.where(s.action_mask, huge, 0)) for s in sequences]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_first_step_has_ratio_one_nothing_clipped_and_no_kl(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    model_folder: str,
    hugging_face_log_probs: Callable[..., np.ndarray],
    name: str,
) -> None:
    sequences = on_policy(model_folder, make_sequences(6), hugging_face_log_probs)
    metrics = make_engine(loss={"name": name}).update(sequences)
    assert metrics["ratio_max_deviation"] < 1e-4
    assert metrics["clipped_share"] == 0
    assert abs(metrics["kl"]) < 1e-6


def test_the_first_pass_of_an_update_tells_how_far_server_and_learner_are_apart(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    model_folder: str,
    hugging_face_log_probs: Callable[..., np.ndarray],
) -> None:
    sequences = []
    for sequence in on_policy(model_folder, make_sequences(6), hugging_face_log_probs):
        fresh = sequence.action_mask & (np.arange(len(sequence)) % 2 == 1)
        wrong = sequence.behaviour_log_probs + np.where(fresh, 0, np.float32(0.5))
        sequences.append(replace(sequence, behaviour_log_probs=wrong, fresh=fresh))
    metrics = make_engine(epochs=3, learning_rate=0.1).update(sequences)
    assert 0 < metrics["log_prob_difference_mean"] <= metrics["log_prob_difference_max"] < 1e-4


def test_without_fresh_tokens_there_is_no_agreement_to_tell(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    stale = [replace(s, fresh=np.zeros(len(s), bool)) for s in make_sequences(3)]
    assert "log_prob_difference_mean" not in make_engine().update(stale)


@pytest.mark.parametrize("name", ["ppo", "gspo"])
def test_later_steps_on_the_same_dialogues_move_the_ratios_and_clip_them(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    model_folder: str,
    hugging_face_log_probs: Callable[..., np.ndarray],
    name: str,
) -> None:
    sequences = on_policy(model_folder, make_sequences(6), hugging_face_log_probs)
    fields = {"loss": {"name": name, "clip_low": 0.05, "clip_high": 0.05}, "learning_rate": 5e-3}
    metrics = make_engine(epochs=4, **fields).update(sequences)
    assert metrics["ratio_max_deviation"] > 0.05
    assert 0 < metrics["clipped_share"] < 1


def test_every_epoch_counts_the_tokens_again(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    sequences = make_sequences(4)
    tokens = sum(sequence.policy_tokens for sequence in sequences)
    metrics = make_engine(epochs=3, minibatches=2).update(sequences)
    assert metrics["policy_tokens"] == 3 * tokens


def test_the_policy_loss_is_the_mean_over_policy_tokens(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    model_folder: str,
    hugging_face_log_probs: Callable[..., np.ndarray],
) -> None:
    sequences = on_policy(model_folder, make_sequences(6), hugging_face_log_probs)
    products = [s.advantages * s.behaviour_log_probs for s in sequences]
    expected = -sum(p.sum() for p in products) / sum(s.policy_tokens for s in sequences)
    assert make_engine().update(sequences)["policy_loss"] == pytest.approx(expected, rel=1e-4)


def test_scores_come_for_every_sequence_and_match_hugging_face(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    model_folder: str,
    hugging_face_log_probs: Callable[..., np.ndarray],
) -> None:
    sequences = on_policy(model_folder, make_sequences(9), hugging_face_log_probs)
    scores = make_engine().score(sequences)
    for index, sequence in enumerate(sequences):
        expected = sequence.behaviour_log_probs
        np.testing.assert_allclose(scores[index].log_probs, expected, atol=1e-4)
        np.testing.assert_allclose(scores[index].reference_log_probs, expected, atol=1e-4)


def test_updates_are_the_same_whether_or_not_the_reference_was_scored_before(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    sequences, results = make_sequences(4), []
    for scored in (False, True):
        engine = make_engine()
        engine.update(sequences)
        if scored:
            scores = engine.score(sequences)
            sequences = [
                replace(s, reference_log_probs=scores[index].reference_log_probs)
                for index, s in enumerate(sequences)
            ]
        results.append(engine.update(sequences)["kl"])
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_policy_loss_falls_on_repeated_updates(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine, sequences = make_engine(learning_rate=5e-3), make_sequences(6)
    before = engine.score(sequences)
    for _ in range(3):
        engine.update(sequences)
    after = engine.score(sequences)
    gain = sum(
        (s.advantages * (after[i].log_probs - before[i].log_probs)).sum()
        for i, s in enumerate(sequences)
    )
    assert gain > 0


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_step_that_is_not_finite_leaves_the_weights_unchanged(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    stage: int,
) -> None:
    engine, sequences = make_engine(zero_stage=stage), make_sequences(6)
    engine.update(sequences)
    before = policy_weights(engine)
    assert engine.update(overflowing(sequences))["skipped_steps"] == 1
    after = policy_weights(engine)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_learning_goes_on_after_a_skipped_step(
    make_engine: MakeEngine, make_sequences: MakeSequences, policy_weights: Weights, stage: int
) -> None:
    skipping, steady = make_engine(zero_stage=stage), make_engine(zero_stage=stage)
    sequences = make_sequences(6)
    skipping.update(overflowing(sequences))
    for engine in (skipping, steady):
        engine.update(sequences)
    left, right = policy_weights(skipping), policy_weights(steady)
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_too_many_skipped_steps_in_a_row_stop_the_learner(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine = make_engine(epochs=5)
    with pytest.raises(LearnerError, match="5 optimizer steps in a row"):
        engine.update(overflowing(make_sequences(2)))


@pytest.mark.parametrize("stage", [0, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_the_exported_policy_loads_with_the_trained_weights(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    model_folder: str,
    untied_model_folder: str,
    tmp_path: Path,
    stage: int,
    tied: bool,
) -> None:
    from transformers import AutoModelForCausalLM

    folder = model_folder if tied else untied_model_folder
    engine = make_engine(folder, zero_stage=stage)
    engine.update(make_sequences(3))
    engine.export_policy(tmp_path)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    parameters = {name: p.detach().numpy() for name, p in exported.named_parameters()}
    weights = policy_weights(engine)
    assert parameters.keys() == weights.keys()
    assert all(np.array_equal(parameters[name], weights[name]) for name in weights)


def test_an_export_carries_the_tokenizer(
    make_engine: MakeEngine, model_folder: str, tmp_path: Path
) -> None:
    make_engine().export_policy(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == (
        Path(model_folder) / "tokenizer.json"
    ).read_text()


@pytest.mark.parametrize("stage", [1, 3])
def test_bfloat16_learns_with_the_metrics_of_float32(
    make_engine: MakeEngine, make_sequences: MakeSequences, stage: int
) -> None:
    sequences = make_sequences(6)
    exact = make_engine().update(sequences)
    rough = make_engine(zero_stage=stage, precision="bfloat16").update(sequences)
    assert rough["policy_loss"] == pytest.approx(exact["policy_loss"], abs=0.05)


def test_the_first_steps_warm_up(make_engine: MakeEngine, make_sequences: MakeSequences) -> None:
    engine = make_engine(warmup_steps=1, learning_rate=1e-3)
    rates = [engine.update(make_sequences(2))["learning_rate"] for _ in range(2)]
    assert rates == pytest.approx([0.5e-3, 1e-3])
