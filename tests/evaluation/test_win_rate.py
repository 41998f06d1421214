"""Win rates against values worked out by hand."""

import numpy as np
import pytest

from curio_ray.evaluation.win_rate import WinRate, win_rate_of_judge, win_rate_of_verdicts

FOUR_USERS = np.array(
    [
        [0.9, 0.6],  # better in both orders
        [0.2, 0.4],  # worse in both orders
        [0.8, 0.3],  # whoever is shown first
        [0.1, 0.7],  # whoever is shown second
    ]
)


def test_a_win_needs_both_orders():
    found = win_rate_of_judge(FOUR_USERS)
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)


def test_orders_that_disagree_are_counted():
    assert win_rate_of_judge(FOUR_USERS).inconsistent == 0.5


def test_a_preference_for_the_first_place_is_seen():
    # shown first and preferred: the first policy with users 1 and 3, the second with 2 and 3
    assert win_rate_of_judge(FOUR_USERS).first_shown == 4 / 8


def test_a_judge_that_always_takes_the_first_place_finds_only_ties():
    found = win_rate_of_judge(np.tile([0.9, 0.1], (10, 1)))
    assert (found.ties, found.rate, found.inconsistent, found.first_shown) == (10, 0.5, 1, 1)


def test_no_preference_in_either_order_is_a_tie_and_consistent():
    found = win_rate_of_judge(np.array([[0.5, 0.5]]))
    assert (found.ties, found.inconsistent) == (1, 0)


def test_swapping_the_policies_mirrors_the_rate():
    generator = np.random.default_rng(0)
    chances = generator.random((50, 2))
    swapped = 1 - chances[:, ::-1]
    there, back = win_rate_of_judge(chances), win_rate_of_judge(swapped)
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    assert there.rate == pytest.approx(1 - back.rate)


def test_the_higher_verdict_wins_and_close_ones_tie():
    found = win_rate_of_verdicts(
        np.array([0.9, 0.5, 0.2, 0.300]), np.array([0.1, 0.495, 0.8, 0.305]), margin=0.01
    )
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
    assert found.inconsistent is None


def test_a_tie_counts_half():
    assert WinRate(wins=3, ties=2, losses=5).rate == pytest.approx(0.4)


def test_the_interval_without_ties_is_wilsons():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    assert WinRate(wins=15, ties=0, losses=133).interval == pytest.approx(
        (0.0624, 0.1605), abs=5e-5
    )


def test_the_interval_covers_the_rate_of_policies_that_often_tie():
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        wins, ties, losses = generator.multinomial(100, [0.5, 0.3, 0.2])
        low, high = WinRate(wins, ties, losses).interval
        covered.append(low <= 0.65 <= high)
    assert np.mean(covered) >= 0.95
