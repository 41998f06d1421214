"""Ids that no server samples have probability 0 for the learner, and no gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.known_tokens import gaps
from curio_ray.learner.model import chunked_log_probs
from curio_ray.learner.sequences import TrainingSequence

UNKNOWN = ((3, 5), (60, 64))
KNOWN = [token for token in range(64) if not any(a <= token < b for a, b in UNKNOWN)]


def head() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(20, 8, requires_grad=True), torch.randn(64, 8, requires_grad=True)
    return hidden, weight, torch.tensor(KNOWN)[torch.randint(0, len(KNOWN), (20,))]


def plain(
    hidden: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor, softcap: float | None
) -> torch.Tensor:
    """Over the known rows of the head alone."""
    logits = hidden @ weight[KNOWN].T
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    columns = torch.tensor([KNOWN.index(each) for each in ids.tolist()])
    return (logits / 0.7).log_softmax(-1).gather(1, columns[:, None])[:, 0]


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_log_probs_are_those_of_the_known_rows_alone(softcap: float | None) -> None:
    hidden, weight, ids = head()
    actual = chunked_log_probs(hidden, weight, ids, 0.7, None, softcap, UNKNOWN)
    torch.testing.assert_close(actual, plain(hidden, weight, ids, softcap))


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_gradients_are_those_of_the_known_rows_alone(softcap: float | None) -> None:
    hidden, weight, ids = head()
    actual = chunked_log_probs(hidden, weight, ids, 0.7, None, softcap, UNKNOWN)
    upstream = torch.randn(20)
    found = torch.autograd.grad(actual, [hidden, weight], upstream)
    expected = torch.autograd.grad(plain(hidden, weight, ids, softcap), [hidden, weight], upstream)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("way", [{}, {"zero_stage": 3}, {"lora": {"rank": 2}}])
def test_the_engine_scores_and_learns_without_unknown_ids(
    make_engine: Callable[..., Any],
    make_sequences: Callable[..., list[TrainingSequence]],
    model_folder: str,
    way: dict[str, Any],
) -> None:
    from transformers import AutoModelForCausalLM

    [sequence] = make_sequences(1)
    sequence.token_ids[:] = np.array(KNOWN, dtype=np.int32)[sequence.token_ids % len(KNOWN)]
    engine = make_engine(unknown=UNKNOWN, **way)
    found = engine.score([sequence])[0]
    ids = torch.from_numpy(sequence.token_ids.astype(np.int64))
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(model_folder)(ids[None]).logits[0, :-1]
    for start, end in UNKNOWN:
        logits[:, start:end] = -torch.inf
    own = logits.log_softmax(-1).gather(1, ids[1:, None])[:, 0].numpy()
    expected = np.where(sequence.action_mask, np.concatenate([[0], own]), 0)
    np.testing.assert_allclose(found.log_probs, expected, atol=1e-5)
    np.testing.assert_allclose(found.reference_log_probs, expected, atol=1e-5)
    assert engine.update([sequence])["kl"] == 0


def test_gaps_are_all_ids_between_and_behind_the_known_ones() -> None:
    assert gaps({0, 1, 2, 5, 6, 9, 70}, rows=12) == ((3, 5), (7, 9), (10, 12))
    assert gaps(set(range(12)), rows=12) == ()
