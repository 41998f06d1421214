"""Log-probabilities of given tokens without a tensor of [tokens, vocabulary]."""

from __future__ import annotations

from typing import Any

import torch

LOGITS_PER_CHUNK = {"cpu": 2**22, "cuda": 2**27}
"""By device: what stays in a CPU's cache, and what makes a GPU's matrix products large."""


def chunked_log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    token_ids: torch.Tensor,
    temperature: float = 1.0,
    bias: torch.Tensor | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Natural log-probabilities of tokens under softmax((hidden · weightᵀ + bias) / temperature).

    Rows go through the vocabulary in chunks, which the backward pass computes again. The softmax is
    float32 whatever the type of the model.

    Args:
        hidden: [A, width], one row per token to predict.
        weight: [vocabulary, width] of the output head.
        token_ids: int64[A].
        temperature: of the distribution that the tokens were sampled from.
        bias: [vocabulary], or None.
        softcap: the model's logits are cap · tanh(logits / cap), as in Gemma 2, or None.

    Returns:
        float32[A].
    """
    result: torch.Tensor = _ChunkedLogProbs.apply(
        hidden, weight, bias, token_ids, temperature, softcap
    )
    return result


class _ChunkedLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        token_ids: torch.Tensor,
        temperature: float,
        softcap: float | None,
    ) -> torch.Tensor:
        context.save_for_backward(hidden, weight, bias, token_ids)
        context.temperature, context.softcap = temperature, softcap
        result = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        for rows in _chunks(hidden, weight):
            logits = _logits(hidden[rows], weight, bias, softcap) / temperature
            chosen = logits.gather(1, token_ids[rows, None])[:, 0]
            result[rows] = chosen - logits.logsumexp(dim=1)
        return result

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, token_ids = context.saved_tensors
        (gradient,) = gradients
        hidden_gradient = torch.empty_like(hidden)
        # A frozen head has no gradient, which would be the largest tensor of all.
        weight_gradient, bias_gradient = (
            torch.zeros_like(tensor, dtype=torch.float32) if needed else None
            for tensor, needed in zip((weight, bias), context.needs_input_grad[1:3], strict=True)
        )
        for rows in _chunks(hidden, weight):
            # d log p(token) / d logits = onehot(token) - softmax(logits)
            logits = _logits(hidden[rows], weight, bias, context.softcap)
            scaled = gradient[rows, None] / context.temperature
            slope = (logits / context.temperature).softmax(dim=1).mul_(-scaled)
            slope.scatter_add_(1, token_ids[rows, None], scaled)
            if context.softcap is not None:
                slope *= 1 - (logits / context.softcap).square()
            if bias_gradient is not None:
                bias_gradient += slope.sum(dim=0)
            slope = slope.to(hidden.dtype)
            hidden_gradient[rows] = slope @ weight
            if weight_gradient is not None:
                weight_gradient += slope.T @ hidden[rows]
        return (
            hidden_gradient,
            None if weight_gradient is None else weight_gradient.to(weight.dtype),
            None if bias_gradient is None else bias_gradient.to(bias.dtype),
            None,
            None,
            None,
        )


def soft_cap(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
    """cap · tanh(scores / cap) (Gemma 2, arXiv 2408.00118, section 2); without a cap no change."""
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _logits(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, softcap: float | None
) -> torch.Tensor:
    return soft_cap(torch.nn.functional.linear(hidden, weight, bias).float(), softcap)


def _chunks(hidden: torch.Tensor, weight: torch.Tensor) -> list[slice]:
    rows, size = len(hidden), max(1, LOGITS_PER_CHUNK[hidden.device.type] // len(weight))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
