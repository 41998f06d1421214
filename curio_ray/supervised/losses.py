"""The losses of the supervised start: pure functions of a model's logits."""

from __future__ import annotations

import torch
from torch.nn import functional

# Verdicts are read as probabilities, and pairs alone leave open where their middle lies.
CENTRE = 0.01


def token_losses(logits: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood in nats of each token but the first.

    Args:
        logits: [B, N, vocabulary].
        token_ids: int64[B, N].

    Returns:
        float32[B, N - 1].
    """
    rows = logits[:, :-1].float().transpose(1, 2)
    return functional.cross_entropy(rows, token_ids[:, 1:], reduction="none")


def weighted_mean(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean of losses of one shape with the weights; 0 where there is no weight."""
    return (losses * weights).sum() / weights.sum().clamp(min=1e-8)


def label_log_probs(logits: torch.Tensor, label_ids: torch.Tensor) -> torch.Tensor:
    """Natural log-probabilities over the labels alone, as a reading session takes them.

    Args:
        logits: [B, vocabulary], after the question.
        label_ids: int64[B, labels, spellings], -1 where a label has fewer.

    Returns:
        float32[B, labels].
    """
    return _label_logits(logits.float(), label_ids).log_softmax(dim=1)


def label_mass_loss(logits: torch.Tensor, label_ids: torch.Tensor) -> torch.Tensor:
    """Mean of -log(probability that the labels hold together), nats, a scalar.

    The loss over the labels alone is the same however little they hold; a served reader that says
    something else than its labels is refused. Arguments as for `label_log_probs`.
    """
    logits = logits.float()
    return (logits.logsumexp(dim=1) - _label_logits(logits, label_ids).logsumexp(dim=1)).mean()


def _label_logits(logits: torch.Tensor, label_ids: torch.Tensor) -> torch.Tensor:
    """Of each label all spellings together, [B, labels]."""
    each = logits.gather(1, label_ids.clamp(min=0).flatten(1)).view(label_ids.shape)
    return each.masked_fill(label_ids < 0, -torch.inf).logsumexp(dim=2)


def verdict_scores(log_probs: torch.Tensor) -> torch.Tensor:
    """r = log p(second label) - log p(first), whose sigmoid is the verdict; float32[B]."""
    return log_probs[:, 1] - log_probs[:, 0]


def bradley_terry_loss(better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    """Mean of -log sigmoid(r_better - r_worse), with a pull of each pair's mean score to zero.

    The preference model is Bradley and Terry's (1952), as in Christiano et al. 2017, arXiv
    1706.03741; the pull is that of Eisenstein et al. 2023, arXiv 2312.09244.

    Args:
        better: float32[pairs], the scores of the better ones.
        worse: float32[pairs], the scores of their partners.
    """
    preference = -functional.logsigmoid(better - worse).mean()
    return preference + CENTRE * (better + worse).square().mean()
