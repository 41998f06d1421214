"""The policy as the learner reads it: packs to hidden states and log-probabilities.

Log-probabilities of given tokens are computed without a tensor of [tokens, vocabulary].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from curio_ray.known_tokens import Ranges
from curio_ray.learner.packing import PackedTensors

LOGITS_PER_CHUNK = {"cpu": 2**22, "cuda": 2**27}
"""By device: what stays in a CPU's cache, and what makes a GPU's matrix products large."""


class LogProbHead(nn.Module):
    """The output head of a language model, asked for given tokens only.

    It holds the head's own parameters, so that ZeRO-3 gathers them around its forward pass. The
    probability of the `unknown` ids is 0, as it is where tokens are sampled.
    """

    def __init__(
        self, head: Any, temperature: float, softcap: float | None, unknown: Ranges = ()
    ) -> None:
        super().__init__()
        self.weight = head.weight
        self.bias = head.bias
        self.temperature = temperature
        self.softcap = softcap
        self.unknown = unknown

    def forward(self, hidden: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Hidden states [A, width] and int64[A] to natural log-probabilities float32[A]."""
        return chunked_log_probs(
            hidden, self.weight, token_ids, self.temperature, self.bias, self.softcap, self.unknown
        )


class PackReader(nn.Module):
    """A causal language model that reads packs of segments.

    Args:
        language_model: of transformers.
        temperature: at which its tokens are sampled.
        unknown: ids that are never sampled.
    """

    def __init__(self, language_model: Any, temperature: float, unknown: Ranges = ()) -> None:
        super().__init__()
        self.language_model = language_model
        head = language_model.get_output_embeddings()
        self.log_prob_head = LogProbHead(head, temperature, logit_softcap(language_model), unknown)

    def hidden_states(self, pack: PackedTensors) -> torch.Tensor:
        """The last hidden states [N, width] of a pack's tokens."""
        output = self.language_model.base_model(
            input_ids=pack.token_ids,
            position_ids=pack.position_ids,
            segments=pack.segments,
            use_cache=False,
        )
        return output.last_hidden_state[0]

    def action_log_probs(self, pack: PackedTensors, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities float32[A] of a pack's actions, from its hidden states."""
        log_probs: torch.Tensor = self.log_prob_head(hidden[pack.action_rows], pack.action_ids)
        return log_probs


class PolicyModel(PackReader):
    """The policy alone."""

    def forward(self, pack: PackedTensors) -> torch.Tensor:
        """Log-probabilities float32[A] of a pack's actions."""
        return self.action_log_probs(pack, self.hidden_states(pack))


class PolicyWithStates(PackReader):
    """The policy and the states that it acts from, on shared hidden states."""

    def forward(self, pack: PackedTensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities float32[A] and states [T, width] of a pack."""
        hidden = self.hidden_states(pack)
        return self.action_log_probs(pack, hidden), hidden[pack.value_rows]


def logit_softcap(model: Any) -> float | None:
    """What the model caps its logits to, as Gemma 2 does, or None."""
    cap: float | None = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return cap


def chunked_log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    token_ids: torch.Tensor,
    temperature: float = 1.0,
    bias: torch.Tensor | None = None,
    softcap: float | None = None,
    unknown: Ranges = (),
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
        unknown: ids whose probability is 0.

    Returns:
        float32[A].
    """
    result: torch.Tensor = _ChunkedLogProbs.apply(
        hidden, weight, bias, token_ids, temperature, softcap, unknown
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
        unknown: Ranges,
    ) -> torch.Tensor:
        context.save_for_backward(hidden, weight, bias, token_ids)
        context.temperature, context.softcap, context.unknown = temperature, softcap, unknown
        result = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        for rows in _chunks(hidden, weight):
            logits = _logits(hidden[rows], weight, bias, softcap, unknown) / temperature
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
            logits = _logits(hidden[rows], weight, bias, context.softcap, context.unknown)
            scaled = gradient[rows, None] / context.temperature
            slope = (logits / context.temperature).softmax(dim=1).mul_(-scaled)
            slope.scatter_add_(1, token_ids[rows, None], scaled)
            if context.softcap is not None:
                slope *= 1 - (logits / context.softcap).clamp(min=-1).square()
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
            None,
        )


def soft_cap(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
    """cap · tanh(scores / cap) (Gemma 2, arXiv 2408.00118, section 2); without a cap no change."""
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _logits(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    softcap: float | None,
    unknown: Ranges,
) -> torch.Tensor:
    logits = soft_cap(torch.nn.functional.linear(hidden, weight, bias).float(), softcap)
    for start, end in unknown:
        logits[:, start:end] = -torch.inf
    return logits


def _chunks(hidden: torch.Tensor, weight: torch.Tensor) -> list[slice]:
    rows, size = len(hidden), max(1, LOGITS_PER_CHUNK[hidden.device.type] // len(weight))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
