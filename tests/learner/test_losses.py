"""The losses against gradients worked out by hand, each token's log-probability a leaf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.learner.losses import (
    gspo,
    importance_ratios,
    kl_loss,
    ppo,
    reinforce,
    turn_ratios,
    value_loss,
)
from curio_ray.learner.packing import PackedTensors, pack_tensors
from curio_ray.learner.sequences import TrainingSequence

ADVANTAGES = (2.0, -1.0, 0.5)
OLD = ((-1.0, -2.0), (-0.5,), (-1.0, -3.0, -0.2))
"""Log-probs of the tokens of three turns."""
BOUNDS = {"clip_low": 0.2, "clip_high": 0.3}


def pack_of(turns: Sequence[Sequence[float]], advantages: Sequence[float]) -> PackedTensors:
    """One dialogue of these behaviour log-probs by turn, each turn after one token of the user."""
    parts = [[0.0, *turn] for turn in turns]
    mask = np.concatenate([[False] + [True] * len(turn) for turn in turns])
    credit = np.concatenate([[0.0] + [a] * len(t) for t, a in zip(turns, advantages, strict=True)])
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    sequence = TrainingSequence(
        token_ids=np.arange(len(mask), dtype=np.int32),
        action_mask=mask,
        behaviour_log_probs=np.concatenate(parts).astype(np.float32),
        value_positions=starts.astype(np.int64),
        advantages=credit.astype(np.float32),
        value_targets=np.zeros(len(turns), dtype=np.float32),
    )
    return pack_tensors([sequence], torch.device("cpu"))


def at_ratios(pack: PackedTensors, ratios: Sequence[float]) -> torch.Tensor:
    """Log-probs that give each token its importance ratio."""
    return (pack.behaviour_log_probs + torch.tensor(ratios).log()).requires_grad_()


def gradient_at(loss: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, leaf, retain_graph=True)[0]


def ppo_at(ratio: float, advantage: float, dual_clip: float | None = None) -> tuple[float, float]:
    """Value and gradient of the loss of a single token."""
    pack = pack_of([[-1.0]], [advantage])
    log_probs = at_ratios(pack, [ratio])
    loss = ppo(pack, log_probs, **BOUNDS, dual_clip=dual_clip).total
    return loss.item(), gradient_at(loss, log_probs).item()


@pytest.mark.parametrize("dual_clip", [None, 3.0])
def test_the_gradient_of_ppo_at_ratio_one_is_the_policy_gradient(dual_clip: float | None) -> None:
    pack = pack_of(OLD, ADVANTAGES)
    log_probs = at_ratios(pack, [1.0] * 6)
    loss = ppo(pack, log_probs, **BOUNDS, dual_clip=dual_clip).total
    torch.testing.assert_close(gradient_at(loss, log_probs), -pack.advantages)


def test_the_gradient_of_reinforce_at_ratio_one_is_the_policy_gradient() -> None:
    pack = pack_of(OLD, ADVANTAGES)
    log_probs = at_ratios(pack, [1.0] * 6)
    loss = reinforce(pack, log_probs, importance_ratio_cap=2.0).total
    torch.testing.assert_close(gradient_at(loss, log_probs), -pack.advantages)


def test_the_gradient_of_gspo_at_ratio_one_is_that_of_each_turns_mean_log_prob() -> None:
    pack = pack_of(OLD, ADVANTAGES)
    log_probs = at_ratios(pack, [1.0] * 6)
    loss = gspo(pack, log_probs, **BOUNDS).total
    tokens = torch.tensor([2.0, 2.0, 1.0, 3.0, 3.0, 3.0])
    torch.testing.assert_close(gradient_at(loss, log_probs), -pack.advantages / tokens)


def test_reinforce_counts_ratios_above_the_cap_as_the_cap() -> None:
    pack = pack_of([[-6.0], [-0.5]], [1.0, 1.0])
    log_probs = torch.tensor([-1.0, -1.0], requires_grad=True)
    loss = reinforce(pack, log_probs, importance_ratio_cap=2.0)
    expected = -torch.stack([torch.tensor(2.0), torch.tensor(-0.5).exp()])
    torch.testing.assert_close(gradient_at(loss.total, log_probs), expected)
    assert loss.metrics["clipped_share"].total == 1


def test_importance_weighting_restores_the_gradient_of_the_new_policy() -> None:
    torch.manual_seed(0)
    logits, behaviour = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0)
    policy, advantages = logits.log_softmax(0), torch.randn(5)
    # Expectation over the behaviour policy: every token once, weighted by its probability.
    weighted = (advantages * behaviour.exp()).tolist()
    pack = pack_of([[each] for each in behaviour.tolist()], weighted)
    exact = -(logits.softmax(0) * advantages).sum()
    for loss in (
        reinforce(pack, policy, importance_ratio_cap=math.inf),
        ppo(pack, policy, clip_low=0.999, clip_high=math.inf, dual_clip=None),
    ):
        torch.testing.assert_close(gradient_at(loss.total, logits), gradient_at(exact, logits))


@pytest.mark.parametrize(
    ("ratio", "advantage"),
    [(0.1, 2.0), (0.81, 2.0), (1.29, 2.0), (0.81, -2.0), (1.29, -2.0), (9.0, -2.0)],
)
def test_ppo_keeps_the_gradient_within_its_bounds_and_on_the_way_back(
    ratio: float, advantage: float
) -> None:
    loss, gradient = ppo_at(ratio, advantage)
    assert loss == pytest.approx(-ratio * advantage, rel=1e-5)
    assert gradient == pytest.approx(-ratio * advantage, rel=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "bound"), [(1.31, 2.0, 1.3), (9.0, 2.0, 1.3), (0.79, -2.0, 0.8)]
)
def test_ppo_stops_the_gradient_beyond_the_bound_that_the_advantage_asks_for(
    ratio: float, advantage: float, bound: float
) -> None:
    loss, gradient = ppo_at(ratio, advantage)
    assert loss == pytest.approx(-bound * advantage, rel=1e-5)
    assert gradient == 0


def test_dual_clip_bounds_what_a_negative_advantage_costs() -> None:
    assert ppo_at(9.0, -2.0, dual_clip=3.0) == (6.0, 0.0)


@pytest.mark.parametrize(("ratio", "advantage"), [(2.9, -2.0), (0.5, -2.0), (9.0, 2.0), (0.1, 2.0)])
def test_dual_clip_leaves_everything_else_as_it_is(ratio: float, advantage: float) -> None:
    assert ppo_at(ratio, advantage, dual_clip=3.0) == ppo_at(ratio, advantage)


def test_ppo_reports_the_shares_that_it_clipped() -> None:
    pack = pack_of([[-1.0], [-1.0], [-1.0], [-1.0]], [1.0, -1.0, -1.0, 1.0])
    loss = ppo(pack, at_ratios(pack, [1.5, 0.5, 9.0, 1.0]), **BOUNDS, dual_clip=3.0)
    shares = {name: (each.total.item(), each.count) for name, each in loss.metrics.items()}
    assert shares == {"clipped_share": (2, 4), "dual_clipped_share": (1, 4)}


def test_the_ratio_of_a_turn_is_the_geometric_mean_of_its_tokens_ratios() -> None:
    pack = pack_of(OLD, ADVANTAGES)
    ratios = turn_ratios(pack, at_ratios(pack, [4.0, 1.0, 0.5, 1.0, 1.0, 8.0]))
    torch.testing.assert_close(ratios, torch.tensor([2.0, 0.5, 2.0]))


def test_gspo_clips_whole_turns_by_their_ratio() -> None:
    pack = pack_of(OLD, [1.0, 1.0, -1.0])
    log_probs = at_ratios(pack, [4.0, 1.0, 1.2, 1.0, 1.0, 8.0])
    loss = gspo(pack, log_probs, **BOUNDS)
    assert loss.total.item() == pytest.approx(-1.3 - 1.2 + 2.0, rel=1e-5)
    expected = torch.tensor([0.0, 0.0, -1.2, 2 / 3, 2 / 3, 2 / 3])
    torch.testing.assert_close(gradient_at(loss.total, log_probs), expected)


def test_gspo_reports_the_share_of_turns_that_it_clipped_and_the_farthest_ratio() -> None:
    pack = pack_of(OLD, [1.0, 1.0, -1.0])
    loss = gspo(pack, at_ratios(pack, [4.0, 1.0, 1.2, 1.0, 1.0, 27.0]), **BOUNDS)
    assert (loss.metrics["clipped_share"].total, loss.metrics["clipped_share"].count) == (1, 3)
    assert loss.metrics["turn_ratio_max_deviation"].value.item() == pytest.approx(2, rel=1e-5)


def test_gspo_of_turns_of_one_token_is_ppo() -> None:
    pack = pack_of([[-1.0], [-2.0], [-0.5], [-3.0]], [1.0, -1.0, 2.0, -0.5])
    log_probs = at_ratios(pack, [1.1, 0.5, 3.0, 1.5])
    turns, tokens = gspo(pack, log_probs, **BOUNDS), ppo(pack, log_probs, **BOUNDS, dual_clip=None)
    torch.testing.assert_close(turns.total, tokens.total)
    torch.testing.assert_close(
        gradient_at(turns.total, log_probs), gradient_at(tokens.total, log_probs)
    )


def test_the_kl_is_zero_where_policy_and_reference_agree() -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = kl_loss(log_probs, log_probs.detach(), torch.ones(2))
    assert loss.item() == 0
    assert not gradient_at(loss, log_probs).any()


def enumerated_kl() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, the estimated and the exact KL(policy ‖ reference), every token once."""
    torch.manual_seed(0)
    logits, reference = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0)
    policy = logits.log_softmax(0)
    estimate = kl_loss(policy, reference, policy.detach().exp())
    return logits, estimate, (policy.exp() * (policy - reference)).sum()


def test_the_mean_of_the_kl_estimate_is_the_kl() -> None:
    _, estimate, exact = enumerated_kl()
    torch.testing.assert_close(estimate, exact)


def test_the_mean_gradient_of_the_kl_estimate_is_that_of_the_kl() -> None:
    logits, estimate, exact = enumerated_kl()
    torch.testing.assert_close(gradient_at(estimate, logits), gradient_at(exact, logits))


@pytest.mark.parametrize("reference", [200.0, -math.inf])
def test_one_token_cannot_make_the_kl_or_its_gradient_anything_but_a_number(
    reference: float,
) -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = kl_loss(log_probs, torch.tensor([reference, -2.0]), torch.ones(2))
    assert loss.isfinite()
    assert gradient_at(loss, log_probs).abs().max() <= 20


@pytest.mark.parametrize("loss", [ppo, gspo])
@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_one_token_cannot_make_a_clipped_loss_anything_but_a_number(
    loss: Any, advantage: float
) -> None:
    pack = pack_of([[-200.0]], [advantage])
    log_probs = torch.tensor([-1.0], requires_grad=True)
    more = {"dual_clip": None} if loss is ppo else {}
    total = loss(pack, log_probs, **BOUNDS, **more).total
    assert total.isfinite()
    assert gradient_at(total, log_probs).isfinite().all()


def test_importance_ratios_have_no_gradient() -> None:
    log_probs = torch.tensor([-1.0], requires_grad=True)
    assert not importance_ratios(log_probs, torch.tensor([-2.0])).requires_grad


def test_the_value_loss_is_the_squared_error() -> None:
    assert value_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 5
