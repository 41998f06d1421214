"""A run whose baseline is the group: dialogues with the same user, and no value."""

from collections import Counter

import pytest

pytestmark = pytest.mark.slow


def test_each_user_is_met_by_a_whole_group(changing_run):
    met = Counter(dialogue.user.id for dialogue in changing_run.dialogues(1))
    assert set(met.values()) == {4}


def test_servers_and_learner_are_compared_without_a_pass_for_values(changing_run):
    for iteration in (1, 2):
        assert 0 < changing_run.metrics(iteration)["log_prob_difference_mean"] < 1e-4
        assert changing_run.metrics(iteration)["time/score"] < 0.05


def test_without_that_pass_the_first_step_still_has_ratio_one(changing_run):
    assert changing_run.metrics(1)["ratio_max_deviation"] < 1e-3


def test_without_that_pass_the_distance_from_the_start_policy_is_measured(changing_run):
    assert changing_run.metrics(1)["kl"] == pytest.approx(0, abs=1e-6)
    assert changing_run.metrics(2)["kl"] > 0
