"""The packed model against plain Hugging Face models, one sequence at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.losses import reinforce
from curio_ray.learner.model import PolicyWithStates
from curio_ray.learner.model_loading import build_policy, build_reference_model
from curio_ray.learner.packing import pack_tensors
from curio_ray.learner.sequences import TrainingSequence

CPU = torch.device("cpu")


def plain_model(folder: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture
def model(model_folder: str) -> PolicyWithStates:
    return build_policy(model_folder, LearnerConfig(), 1.0, seed=0)


def expected_log_probs(
    folder: str, sequences: list[TrainingSequence], log_probs: Callable, temperature: float = 1.0
) -> torch.Tensor:
    plain = plain_model(folder)
    parts = [log_probs(plain, s.token_ids, temperature)[s.action_mask] for s in sequences]
    return torch.from_numpy(np.concatenate(parts))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_packed_log_probs_equal_the_unpadded_forward_of_each_sequence(
    model_folder: str,
    make_sequences: Callable[..., list[TrainingSequence]],
    hugging_face_log_probs: Callable[..., np.ndarray],
    temperature: float,
) -> None:
    sequences = make_sequences(5)
    model = build_reference_model(model_folder, "float32", temperature)
    expected = expected_log_probs(model_folder, sequences, hugging_face_log_probs, temperature)
    torch.testing.assert_close(model(pack_tensors(sequences, CPU)), expected, atol=1e-5, rtol=1e-5)


def test_packed_attention_keeps_a_sliding_window(
    tmp_path: Path,
    make_sequences: Callable[..., list[TrainingSequence]],
    hugging_face_log_probs: Callable[..., np.ndarray],
) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=4,
        initializer_range=0.3,
    )
    MistralForCausalLM(config).save_pretrained(tmp_path)
    sequences = make_sequences(3)
    model = build_reference_model(str(tmp_path), "float32", 1.0)
    expected = expected_log_probs(str(tmp_path), sequences, hugging_face_log_probs)
    torch.testing.assert_close(model(pack_tensors(sequences, CPU)), expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def capping_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Gemma 2 whose scores and logits lie where the caps bend them."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    folder = str(tmp_path_factory.mktemp("capping"))
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=4,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        query_pre_attn_scalar=8,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    Gemma2ForCausalLM(config).save_pretrained(folder)
    return folder


def plain_capping_model(folder: str) -> Any:
    """Transformers applies the caps in its eager attention alone."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_capped_scores_and_logits_are_those_of_the_plain_model(
    capping_model_folder: str,
    make_sequences: Callable[..., list[TrainingSequence]],
    hugging_face_log_probs: Callable[..., np.ndarray],
    temperature: float,
) -> None:
    sequences, plain = make_sequences(4), plain_capping_model(capping_model_folder)
    parts = [
        hugging_face_log_probs(plain, s.token_ids, temperature)[s.action_mask] for s in sequences
    ]
    model = build_reference_model(capping_model_folder, "float32", temperature)
    actual = model(pack_tensors(sequences, CPU))
    torch.testing.assert_close(
        actual, torch.from_numpy(np.concatenate(parts)), atol=1e-5, rtol=1e-5
    )


def test_the_gradient_of_a_capping_model_is_that_of_the_plain_model(
    capping_model_folder: str, make_sequences: Callable[..., list[TrainingSequence]]
) -> None:
    sequences = make_sequences(4)
    model = build_policy(capping_model_folder, LearnerConfig(), 1.0, seed=0)
    log_probs, _ = model(pack_tensors(sequences, CPU))
    log_probs.sum().backward()
    plain = plain_capping_model(capping_model_folder)
    for sequence in sequences:
        ids = torch.from_numpy(sequence.token_ids.astype(np.int64))
        own = plain(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        own.gather(1, ids[1:, None])[:, 0][
            torch.from_numpy(sequence.action_mask[1:])
        ].sum().backward()
    expected = {name: parameter.grad for name, parameter in plain.named_parameters()}
    actual = {name: p.grad for name, p in model.language_model.named_parameters()}
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_the_states_are_those_acted_from(
    model: PolicyWithStates,
    model_folder: str,
    make_sequences: Callable[..., list[TrainingSequence]],
) -> None:
    sequences = make_sequences(4)
    _, actual = model(pack_tensors(sequences, CPU))
    plain = plain_model(model_folder)
    states = []
    for sequence in sequences:
        for position in sequence.value_positions:
            # The context ends with the token before the turn: nothing later can be seen.
            context = torch.from_numpy(sequence.token_ids[: position + 1].astype(np.int64))
            states.append(plain.model(input_ids=context[None]).last_hidden_state[0, -1])
    torch.testing.assert_close(actual, torch.stack(states), atol=1e-5, rtol=1e-5)


def test_the_loss_gradient_at_ratio_one_is_the_policy_gradient_of_the_plain_model(
    model: PolicyWithStates,
    model_folder: str,
    make_sequences: Callable[..., list[TrainingSequence]],
) -> None:
    sequences = make_sequences(4)
    pack = pack_tensors(sequences, CPU)
    log_probs, _ = model(pack)
    sampled_now = replace(pack, behaviour_log_probs=log_probs.detach())
    reinforce(sampled_now, log_probs, importance_ratio_cap=2.0).total.backward()

    plain = plain_model(model_folder)
    for sequence in sequences:
        ids = torch.from_numpy(sequence.token_ids.astype(np.int64))
        logits = plain(input_ids=ids[None]).logits[0, :-1]
        own = logits.log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        (-torch.from_numpy(sequence.advantages)[1:] * own).sum().backward()
    expected = {name: parameter.grad for name, parameter in plain.named_parameters()}
    actual = {name: p.grad for name, p in model.language_model.named_parameters()}
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_an_empty_pack_gives_a_gradient_of_zeros(model: PolicyWithStates) -> None:
    log_probs, states = model(pack_tensors([], CPU))
    (log_probs.sum() + states.square().sum()).backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.parameters())
