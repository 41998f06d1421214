"""The losses against gradients worked out by hand on a distribution over five tokens."""

import torch

from curio_ray.learner.losses import (
    importance_ratios,
    kl_loss,
    policy_gradient_loss,
    value_loss,
)


def gradient_at(loss: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, leaf, retain_graph=True)[0]


def test_the_gradient_at_ratio_one_is_reinforce() -> None:
    log_probs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([2.0, -1.0, 0.5])
    ratios = importance_ratios(log_probs, log_probs.detach())
    loss = policy_gradient_loss(log_probs, ratios, advantages, ratio_cap=2.0)
    torch.testing.assert_close(gradient_at(loss, log_probs), -advantages)


def test_ratios_above_the_cap_count_as_the_cap() -> None:
    log_probs = torch.tensor([-1.0, -1.0], requires_grad=True)
    ratios = importance_ratios(log_probs, torch.tensor([-6.0, -0.5]))
    loss = policy_gradient_loss(log_probs, ratios, torch.ones(2), ratio_cap=2.0)
    expected = -torch.stack([torch.tensor(2.0), torch.tensor(-0.5).exp()])
    torch.testing.assert_close(gradient_at(loss, log_probs), expected)


def test_importance_weighting_restores_the_gradient_of_the_new_policy() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, requires_grad=True)
    behaviour, advantages = torch.randn(5).log_softmax(0), torch.randn(5)
    policy = logits.log_softmax(0)
    ratios = importance_ratios(policy, behaviour)
    # Expectation over the behaviour policy: every token once, weighted by its probability.
    loss = policy_gradient_loss(
        policy, ratios * behaviour.exp(), advantages, ratio_cap=float("inf")
    )
    exact = -(logits.softmax(0) * advantages).sum()
    torch.testing.assert_close(gradient_at(loss, logits), gradient_at(exact, logits))


def test_the_kl_is_zero_where_policy_and_reference_agree() -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = kl_loss(log_probs, log_probs.detach(), torch.ones(2), 2.0)
    assert loss.item() == 0
    assert not gradient_at(loss, log_probs).any()


def enumerated_kl() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, the estimated and the exact KL(policy ‖ reference), every token once."""
    torch.manual_seed(0)
    logits, reference = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0)
    policy = logits.log_softmax(0)
    estimate = kl_loss(policy, reference, policy.detach().exp(), ratio_cap=2.0)
    return logits, estimate, (policy.exp() * (policy - reference)).sum()


def test_the_mean_of_the_kl_estimate_is_the_kl() -> None:
    _, estimate, exact = enumerated_kl()
    torch.testing.assert_close(estimate, exact)


def test_the_mean_gradient_of_the_kl_estimate_is_that_of_the_kl() -> None:
    logits, estimate, exact = enumerated_kl()
    torch.testing.assert_close(gradient_at(estimate, logits), gradient_at(exact, logits))


def test_the_value_loss_is_the_squared_error() -> None:
    assert value_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 5
