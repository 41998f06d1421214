"""What only a GPU does: fused attention over packs, and the same learning as on a CPU."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.learner.attention import packed_attention
from curio_ray.learner.model import chunked_log_probs
from curio_ray.learner.model_loading import build_reference_model
from curio_ray.learner.packing import Segments, pack_tensors
from curio_ray.learner.sequences import TrainingSequence

pytestmark = pytest.mark.gpu

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list[TrainingSequence]]

LENGTHS = (37, 1, 130, 64)


def heads(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, count, sum(LENGTHS), 64, generator=generator)
    return values.to("cuda", torch.bfloat16).requires_grad_()


@pytest.mark.parametrize("window", [None, 16])
def test_fused_attention_and_its_gradients_are_those_of_each_segment_in_float32(
    window: int | None,
) -> None:
    inputs = [heads(count, seed) for seed, count in enumerate((8, 2, 2))]
    precise = [each.detach().float().requires_grad_() for each in inputs]
    segments, outputs = Segments.of(LENGTHS, torch.device("cuda")), []
    for query, key, value in (inputs, precise):
        output, _ = packed_attention(
            torch.nn.Module(), query, key, value, None, segments=segments, sliding_window=window
        )
        output.float().square().sum().backward()
        outputs.append(output)
    assert relative_error(outputs[0], outputs[1]) < 1e-2
    for fused, exact in zip(inputs, precise, strict=True):
        assert relative_error(fused.grad, exact.grad) < 2e-2


def test_chunked_log_probs_and_gradients_are_those_of_full_logits() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    hidden, weight = (
        torch.randn(rows, 64, device="cuda", generator=generator).requires_grad_()
        for rows in (3000, 100_000)
    )
    ids = torch.arange(3000, device="cuda") * 7
    chunked = chunked_log_probs(hidden, weight, ids)
    full = (hidden @ weight.T).log_softmax(-1).gather(1, ids[:, None])[:, 0]
    torch.testing.assert_close(chunked, full, atol=1e-3, rtol=1e-4)
    actual = torch.autograd.grad(chunked.square().sum(), (hidden, weight))
    expected = torch.autograd.grad(full.square().sum(), (hidden, weight))
    for own, plain in zip(actual, expected, strict=True):
        assert relative_error(own, plain) < 1e-3


def test_float32_log_probs_are_those_of_a_cpu(
    model_folder: str, make_sequences: MakeSequences
) -> None:
    sequences = make_sequences(9)
    model = build_reference_model(model_folder, "float32", 1.0)
    expected = model(pack_tensors(sequences, torch.device("cpu")))
    actual = model.cuda()(pack_tensors(sequences, torch.device("cuda")))
    torch.testing.assert_close(actual.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_first_step_in_bfloat16_has_ratio_one_and_no_kl(
    make_engine: MakeEngine, make_sequences: MakeSequences, stage: int
) -> None:
    engine, sequences = make_engine(zero_stage=stage, precision="bfloat16"), make_sequences(9)
    scores = engine.score(sequences)
    own = [replace(s, behaviour_log_probs=scores[i].log_probs) for i, s in enumerate(sequences)]
    metrics = engine.update(own)
    assert metrics["ratio_max_deviation"] < 1e-6
    assert abs(metrics["kl"]) < 1e-6


def test_bfloat16_log_probs_are_near_those_of_float32(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    sequences = make_sequences(9)
    exact = make_engine().score(sequences)
    rough = make_engine(zero_stage=1, precision="bfloat16").score(sequences)
    differences = [
        rough[index].log_probs[s.action_mask] - exact[index].log_probs[s.action_mask]
        for index, s in enumerate(sequences)
    ]
    assert np.abs(np.concatenate(differences)).mean() < 0.1


def relative_error(actual: Any, expected: Any) -> float:
    actual, expected = actual.detach().float(), expected.detach().float()
    return float((actual - expected).norm() / expected.norm())
