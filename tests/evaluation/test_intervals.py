"""Confidence intervals against published and analytic values."""

import numpy as np
import pytest

from curio_ray.evaluation.intervals import bootstrap_interval, ratio_statistic, wilson_interval


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_agrees_with_published_values(hits, count, expected):
    assert wilson_interval(hits, count) == pytest.approx(expected, abs=5e-5)


def test_a_share_of_one_has_an_interval_that_ends_at_one():
    low, high = wilson_interval(10, 10)
    assert low < high == 1.0


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="count"):
        wilson_interval(0, 0)


def test_the_bootstrap_of_a_mean_is_as_wide_as_the_normal_interval():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(ratio_statistic(values, np.ones(400)), 400, seed=1)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.1)
    assert low < values.mean() < high


def test_the_same_seed_draws_the_same_interval():
    statistic = ratio_statistic(np.arange(20.0), np.ones(20))
    assert bootstrap_interval(statistic, 20, seed=3) == bootstrap_interval(statistic, 20, seed=3)
    assert bootstrap_interval(statistic, 20, seed=3) != bootstrap_interval(statistic, 20, seed=4)


def test_a_statistic_that_is_never_defined_has_no_interval():
    assert bootstrap_interval(ratio_statistic(np.zeros(5), np.zeros(5)), 5, seed=0) is None
