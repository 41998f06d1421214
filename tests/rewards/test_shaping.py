"""Which intrinsic rewards leave the optimal policy alone: a small POMDP, solved exactly.

A hidden type (0 or 1). First the policy chats, which pays 0.6, or asks, which reveals the type
and pays nothing. Then it guesses the type, which pays 1 if right. Chatting is worth 0.6 + 0.5 and
asking 1.0: the best policy does not get to know the user. The user model is exact.
"""

from itertools import product

import numpy as np
import pytest
from paid import paid
from pydantic import ValidationError

from curio_ray.config.rewards import IntrinsicRewardConfig

CHAT, ASK = 0, 1
UNSURE = np.array([0.5, 0.5])
DISCOUNTS = [1.0, 0.9, 0.5]
# A policy: the first action, then the guess after chatting, after seeing 0, after seeing 1.
POLICIES = list(product((CHAT, ASK), (0, 1), (0, 1), (0, 1)))


def beliefs_after(action: int, user_type: int) -> np.ndarray:
    """Before the first turn, after it, and after the guess, which tells nothing new."""
    known = np.eye(2)[user_type] if action == ASK else UNSURE
    return np.stack([UNSURE, known, known])


def value(policy: tuple[int, ...], discount: float, name: str, final_potential: str) -> float:
    """The exact expected return with the intrinsic reward added at weight 1."""
    total = 0.0
    for user_type in (0, 1):
        action = policy[0]
        guess = policy[1] if action == CHAT else policy[2 + user_type]
        rewards = np.array([0.6 * (action == CHAT), float(guess == user_type)])
        beliefs = beliefs_after(action, user_type)
        rewards += paid(name, beliefs, user_type, discount, final_potential=final_potential)
        total += 0.5 * float(rewards @ discount ** np.arange(2))
    return total


def optimal_policies(discount: float, name: str, final_potential: str) -> set[tuple[int, ...]]:
    values = {policy: value(policy, discount, name, final_potential) for policy in POLICIES}
    best = max(values.values())
    return {policy for policy, each in values.items() if each > best - 1e-9}


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("name", ["diff_acc", "diff_log_acc", "diff_ent"])
def test_shaping_leaves_the_optimal_policy_unchanged(name, discount):
    plain = optimal_policies(discount, "mtrlhf", "zero")
    assert optimal_policies(discount, name, "zero") == plain


@pytest.mark.parametrize("name", ["acc", "log_acc", "ent", "info_gain"])
def test_direct_rewards_change_the_optimal_policy(name):
    assert {policy[0] for policy in optimal_policies(1.0, "mtrlhf", "zero")} == {CHAT}
    assert {policy[0] for policy in optimal_policies(1.0, name, "zero")} == {ASK}


@pytest.mark.parametrize("name", ["diff_acc", "diff_log_acc", "diff_ent"])
def test_differences_that_keep_the_last_belief_pay_for_knowing_the_user(name):
    assert {policy[0] for policy in optimal_policies(1.0, name, "kept")} == {ASK}


def test_bounded_rewards_are_refused_where_the_end_has_no_potential() -> None:
    section = {"clip": 0.5, "final_potential": "zero"}
    with pytest.raises(ValidationError, match="write kept, or clip: null"):
        IntrinsicRewardConfig.model_validate(section)
