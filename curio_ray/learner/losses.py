"""The losses as pure functions of per-token and per-turn tensors. Every function returns sums.

The caller divides by the counts of the whole minibatch over all ranks, so that the result does not
depend on how sequences were packed.
"""

from __future__ import annotations

import torch


def importance_ratios(log_probs: torch.Tensor, behaviour_log_probs: torch.Tensor) -> torch.Tensor:
    """π(token) / μ(token) for the learner's π and the μ that sampled, float32[A], no gradient."""
    return (log_probs.detach() - behaviour_log_probs).exp()


def policy_gradient_loss(
    log_probs: torch.Tensor,
    ratios: torch.Tensor,
    advantages: torch.Tensor,
    ratio_cap: float,
) -> torch.Tensor:
    """-Σ min(ratio, cap) · advantage · log π, with the factor before log π held constant.

    REINFORCE with truncated importance sampling (Espeholt et al. 2018, arXiv 1802.01561, ρ of
    V-trace): at ratio 1 its gradient is the policy gradient. All tensors are [A].
    """
    return -(ratios.clamp(max=ratio_cap) * advantages * log_probs).sum()


def kl_loss(
    log_probs: torch.Tensor,
    reference_log_probs: torch.Tensor,
    ratios: torch.Tensor,
    ratio_cap: float,
) -> torch.Tensor:
    """Σ of per-token estimates of KL(π ‖ reference), with an unbiased gradient. Tensors are [A].

    The value is Schulman's k3, r - 1 - log r with r = reference / π ("Approximating KL Divergence",
    2020): never negative, low variance. Differentiating k3 itself on samples would give the
    gradient of KL(reference ‖ π) (Tang and Munos 2025, arXiv 2506.09477). The gradient here is
    ratio · log(π / reference) · ∇ log π, whose mean over samples of μ is that of KL(π ‖ reference).
    """
    difference = reference_log_probs - log_probs.detach()
    weights = ratios.clamp(max=ratio_cap)
    estimate = weights * (difference.exp() - 1 - difference)
    surrogate = weights * -difference * log_probs
    return (surrogate - surrogate.detach() + estimate).sum()


def value_loss(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Σ (value - target)², tensors [T]."""
    return (values - targets).square().sum()
