"""Chunked log-probabilities against the whole tensor of logits. 150 rows make three chunks."""

import pytest
import torch

from curio_ray.learner.model import LOGITS_PER_CHUNK, chunked_log_probs

VOCABULARY = LOGITS_PER_CHUNK["cpu"] // 64


def head(with_bias: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(150, 4, requires_grad=True)
    weight = torch.randn(VOCABULARY, 4, requires_grad=True)
    bias = torch.randn(VOCABULARY, requires_grad=True) if with_bias else None
    return hidden, weight, bias, torch.randint(0, VOCABULARY, (150,))


def plain(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, ids: torch.Tensor
) -> torch.Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias) / 0.7
    return logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]


@pytest.mark.parametrize("with_bias", [False, True])
def test_chunked_log_probs_equal_those_of_full_logits(with_bias: bool) -> None:
    hidden, weight, bias, ids = head(with_bias)
    chunked = chunked_log_probs(hidden, weight, ids, 0.7, bias)
    torch.testing.assert_close(chunked, plain(hidden, weight, bias, ids))


@pytest.mark.parametrize("with_bias", [False, True])
def test_chunked_gradients_equal_autograds_on_full_logits(with_bias: bool) -> None:
    hidden, weight, bias, ids = head(with_bias)
    leaves = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    upstream = torch.randn(150)
    chunked = chunked_log_probs(hidden, weight, ids, 0.7, bias)
    actual = torch.autograd.grad(chunked, leaves, upstream)
    expected = torch.autograd.grad(plain(hidden, weight, bias, ids), leaves, upstream)
    torch.testing.assert_close(actual, expected)


def test_a_frozen_head_leaves_the_other_gradient_the_same() -> None:
    hidden, weight, bias, ids = head(with_bias=True)
    learned = chunked_log_probs(hidden, weight, ids, 0.7, bias).sum()
    frozen = chunked_log_probs(hidden, weight.detach(), ids, 0.7, bias.detach()).sum()
    expected, actual = (torch.autograd.grad(each, hidden) for each in (learned, frozen))
    torch.testing.assert_close(actual, expected)


def test_no_rows_give_a_gradient_of_zeros() -> None:
    _, weight, _, _ = head(False)
    hidden = torch.empty(0, 4, requires_grad=True)
    chunked_log_probs(hidden, weight, torch.empty(0, dtype=torch.int64)).sum().backward()
    assert not weight.grad.any()
