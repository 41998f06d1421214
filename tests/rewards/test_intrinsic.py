"""Intrinsic rewards against values computed by hand."""

import numpy as np
import pytest
from paid import paid

HALF, SURE, WRONG = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]
LOG_SMALLEST = np.log(1e-6)


@pytest.mark.parametrize(
    ("name", "beliefs", "discount", "expected"),
    [
        ("mtrlhf", [HALF, SURE], 1.0, [0.0]),
        ("acc", [HALF, SURE, WRONG], 1.0, [1.0, 0.0]),
        ("log_acc", [HALF, SURE, WRONG], 1.0, [0.0, LOG_SMALLEST]),
        ("ent", [HALF, SURE, HALF], 1.0, [0.0, -np.log(2)]),
        ("diff_acc", [HALF, SURE, WRONG], 1.0, [0.5, -1.0]),
        ("diff_acc", [HALF, SURE, HALF], 0.5, [0.0, -0.75]),
        ("diff_log_acc", [HALF, SURE, WRONG], 1.0, [np.log(2), LOG_SMALLEST]),
        ("diff_ent", [HALF, SURE, HALF], 1.0, [np.log(2), -np.log(2)]),
        ("diff_ent", [HALF, HALF], 0.9, [0.1 * np.log(2)]),
        ("info_gain", [HALF, SURE, SURE], 1.0, [np.log(2), 0.0]),
        ("info_gain", [SURE, WRONG], 1.0, [-LOG_SMALLEST]),
    ],
)
def test_formulas_agree_with_values_computed_by_hand(name, beliefs, discount, expected):
    rewards = paid(name, np.array(beliefs), discount=discount)
    np.testing.assert_allclose(rewards, expected, atol=1e-9)


def test_undiscounted_differences_sum_to_the_total_change_of_belief():
    beliefs = np.array([[0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0.6, 0.4]])
    rewards = paid("diff_acc", beliefs)
    assert rewards.sum() == pytest.approx(0.6 - 0.2)


def test_a_final_potential_of_zero_makes_the_differences_sum_to_the_start_alone():
    beliefs = np.array([[0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    rewards = paid("diff_acc", beliefs, final_potential="zero")
    assert rewards.sum() == pytest.approx(-0.2)


def test_clipping_bounds_each_reward_to_both_sides():
    beliefs = np.array([SURE, WRONG, SURE])
    rewards = paid("diff_log_acc", beliefs, clip=2.0)
    np.testing.assert_array_equal(rewards, [-2.0, 2.0])


def test_a_belief_that_is_not_a_distribution_is_refused():
    with pytest.raises(ValueError, match="distributions"):
        paid("diff_acc", np.array([[0.5, 0.5], [np.nan, 1.0]]))
