"""Low-rank adapters: what is trained, what the servers get, what the start policy is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from curio_ray.config.learner import LoraConfig
from curio_ray.errors import CheckpointError, LearnerError
from curio_ray.learner.sequences import TrainingSequence

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]
Weights = Callable[[Any], dict[str, np.ndarray]]

LORA = {"rank": 4, "alpha": 8}


def plain_model(folder: str | Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def plain_weights(folder: str) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in plain_model(folder).named_parameters()}


@pytest.fixture(params=[0, 1, 2, 3])
def stage(request: pytest.FixtureRequest) -> int:
    return request.param


def test_the_first_weights_are_bitwise_the_start_policys(
    make_engine: MakeEngine, policy_weights: Weights, model_folder: str, stage: int
) -> None:
    weights, expected = (
        policy_weights(make_engine(zero_stage=stage, lora=LORA)),
        plain_weights(model_folder),
    )
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


def test_adapters_alone_and_the_start_policy_make_the_merged_weights(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    wide_model_folder: str,
    stage: int,
) -> None:
    engine = make_engine(wide_model_folder, zero_stage=stage, lora=LORA)
    engine.update(make_sequences(8))
    stream = engine.policy_weights.named_adapters(torch.float32)
    alone = {name: each.clone() for name, each in stream}
    expected = plain_weights(wide_model_folder)
    for name in [each for each in alone if each.endswith("lora_A.weight")]:
        layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        change = alone[name.replace("lora_A", "lora_B")] @ alone[name]
        expected[f"{layer}.weight"] = expected[f"{layer}.weight"] + change.numpy()
    for name, weight in policy_weights(engine).items():
        np.testing.assert_allclose(weight, expected[name], atol=1e-6, err_msg=name)


def test_only_adapters_change(
    make_engine: MakeEngine, make_sequences: MakeSequences, wide_model_folder: str, stage: int
) -> None:
    import deepspeed

    engine = make_engine(wide_model_folder, zero_stage=stage, lora=LORA)
    parameters = dict(engine.deepspeed.module.named_parameters())

    def values() -> dict[str, torch.Tensor]:
        with deepspeed.zero.GatheredParameters(list(parameters.values()), enabled=stage == 3):
            return {name: p.detach().clone() for name, p in parameters.items()}

    before = values()
    for _ in range(2):
        engine.update(make_sequences(6))
    changed = {name for name, value in values().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in parameters if "lora_" in name}


def test_the_merged_weights_give_the_learners_log_probs(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    hugging_face_log_probs: Callable[..., np.ndarray],
    wide_model_folder: str,
    tmp_path: Path,
    stage: int,
) -> None:
    engine = make_engine(wide_model_folder, zero_stage=stage, lora=LORA, learning_rate=1e-2)
    sequences = make_sequences(6)
    for _ in range(3):
        engine.update(sequences)
    engine.export_policy(tmp_path)
    merged = plain_model(tmp_path)
    for index, score in engine.score(sequences).items():
        sequence = sequences[index]
        expected = hugging_face_log_probs(merged, sequence.token_ids)[sequence.action_mask]
        actual = score.log_probs[sequence.action_mask]
        np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_the_export_holds_the_weights_that_are_sent(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    untied_model_folder: str,
    tmp_path: Path,
) -> None:
    engine = make_engine(untied_model_folder, lora=LORA)
    engine.update(make_sequences(4))
    engine.export_policy(tmp_path)
    sent, exported = policy_weights(engine), plain_weights(str(tmp_path))
    assert sent.keys() == exported.keys()
    assert all(np.array_equal(sent[name], exported[name]) for name in sent)


def test_the_reference_is_the_start_policy_after_any_number_of_steps(
    make_engine: MakeEngine, make_sequences: MakeSequences, wide_model_folder: str, stage: int
) -> None:
    engine = make_engine(wide_model_folder, zero_stage=stage, lora=LORA, learning_rate=1e-2)
    sequences = make_sequences(6)
    first = engine.score(sequences)
    engine.update(sequences)
    later = engine.score(sequences)
    for index in first:
        np.testing.assert_allclose(
            later[index].reference_log_probs, first[index].log_probs, atol=1e-6
        )
        assert not np.allclose(later[index].log_probs, first[index].log_probs, atol=1e-3)


def test_updates_are_the_same_whether_or_not_the_reference_was_scored_before(
    make_engine: MakeEngine, make_sequences: MakeSequences, policy_weights: Weights, stage: int
) -> None:
    results = []
    for scored in (False, True):
        engine, sequences = make_engine(zero_stage=stage, lora=LORA), make_sequences(4)
        engine.update(sequences)
        if scored:
            scores = engine.score(sequences)
            sequences = [
                replace(s, reference_log_probs=scores[index].reference_log_probs)
                for index, s in enumerate(sequences)
            ]
        results.append((engine.update(sequences), policy_weights(engine)))
    (left, left_weights), (right, right_weights) = results
    assert left == pytest.approx(right, rel=1e-4, abs=1e-6)
    for name, weight in left_weights.items():
        np.testing.assert_allclose(weight, right_weights[name], atol=1e-5, err_msg=name)


def test_no_second_copy_of_the_model_is_kept(make_engine: MakeEngine) -> None:
    assert make_engine(lora=LORA).reference is None


def test_a_scaled_adapter_is_merged_with_its_scale(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    model_folder: str,
) -> None:
    engine = make_engine(lora={"rank": 2, "alpha": 6, "targets": ["q_proj"]})
    engine.update(make_sequences(4))
    name = "model.layers.0.self_attn.q_proj"
    layer = engine.language_model.get_submodule(name)
    low_rank = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = plain_weights(model_folder)[f"{name}.weight"] + 3 * low_rank.detach().cpu().numpy()
    np.testing.assert_allclose(policy_weights(engine)[f"{name}.weight"], expected, atol=1e-7)


def test_the_step_after_a_load_is_bitwise_the_step_after_the_save(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    tmp_path: Path,
    stage: int,
) -> None:
    sequences = make_sequences(6)
    saved = make_engine(zero_stage=stage, lora=LORA | {"dropout": 0.3})
    saved.update(sequences)
    saved.save(tmp_path)
    expected = saved.update(sequences)
    loaded = make_engine(zero_stage=stage, lora=LORA | {"dropout": 0.3})
    loaded.load(tmp_path)
    assert loaded.update(sequences) == expected
    left, right = policy_weights(saved), policy_weights(loaded)
    assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 0), (0, 2)])
def test_adapters_go_on_at_another_zero_stage(
    make_engine: MakeEngine,
    make_sequences: MakeSequences,
    policy_weights: Weights,
    tmp_path: Path,
    before: int,
    after: int,
) -> None:
    sequences = make_sequences(6)
    saved = make_engine(zero_stage=before, lora=LORA)
    saved.update(sequences)
    saved.save(tmp_path)
    loaded = make_engine(zero_stage=after, lora=LORA)
    loaded.load(tmp_path)
    assert loaded.update(sequences) == pytest.approx(saved.update(sequences), rel=1e-5, abs=1e-6)
    for name, weight in policy_weights(saved).items():
        np.testing.assert_allclose(policy_weights(loaded)[name], weight, atol=2e-5)


def test_a_checkpoint_holds_no_weight_of_the_base(
    make_engine: MakeEngine, make_sequences: MakeSequences, tmp_path: Path
) -> None:
    from safetensors import safe_open

    engine = make_engine(lora=LORA)
    engine.update(make_sequences(4))
    engine.save(tmp_path)
    with safe_open(tmp_path / "weight-rank-0.safetensors", framework="np") as file:
        names = list(file.metadata())
    assert names
    assert all("lora_" in name for name in names)


def test_a_state_with_other_adapters_is_refused_by_field(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    make_engine(lora=LORA).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"learner\.lora.*\"rank\": 4.*not null"):
        make_engine().load(tmp_path)


def test_dropout_is_off_while_scoring(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine, sequences = make_engine(lora=LORA | {"dropout": 0.5}), make_sequences(4)
    engine.update(sequences)
    left, right = engine.score(sequences), engine.score(sequences)
    assert all(np.array_equal(left[i].log_probs, right[i].log_probs) for i in left)


@pytest.mark.parametrize("learning_stage", [1, 3])
def test_bfloat16_learns_with_the_metrics_of_float32(
    make_engine: MakeEngine, make_sequences: MakeSequences, learning_stage: int
) -> None:
    sequences = make_sequences(6)
    exact = make_engine(lora=LORA).update(sequences)
    rough = make_engine(lora=LORA, zero_stage=learning_stage, precision="bfloat16").update(
        sequences
    )
    assert rough["policy_loss"] == pytest.approx(exact["policy_loss"], abs=0.05)


def test_a_target_that_the_model_lacks_is_named(make_engine: MakeEngine) -> None:
    with pytest.raises(LearnerError, match=r"learner\.lora\.targets.*query_key_value"):
        make_engine(lora={"targets": ["query_key_value"]})


@pytest.mark.parametrize("targets", [["lm_head"], ["q_proj", "embed_tokens"], []])
def test_embeddings_and_head_get_no_adapter(targets: list[str]) -> None:
    with pytest.raises(ValidationError, match="adapter"):
        LoraConfig(targets=targets)
