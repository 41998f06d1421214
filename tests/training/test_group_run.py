"""A run whose baseline is the group: dialogues with the same user, and no value."""

from collections import Counter

import pytest
from short_runs import FinishedRun, train_two_iterations

GROUP = 4


@pytest.fixture(scope="module")
def group_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    path = tmp_path_factory.mktemp("runs") / "group"
    changes = ("credit.estimator=rloo", f"credit.group_size={GROUP}")
    return train_two_iterations("configs/pocket.yaml", path, *changes)


def test_each_user_is_met_by_a_whole_group(group_run):
    met = Counter(dialogue.user.id for dialogue in group_run.dialogues(1))
    assert set(met.values()) == {GROUP}


def test_groups_are_learned_from_without_a_pass_for_values(group_run):
    assert "log_prob_difference_max" not in group_run.metrics(2)


def test_without_that_pass_the_first_step_still_has_ratio_one(group_run):
    assert group_run.metrics(1)["ratio_max_deviation"] < 1e-3


def test_without_that_pass_the_distance_from_the_start_policy_is_measured(group_run):
    assert group_run.metrics(1)["kl"] == pytest.approx(0, abs=1e-6)
    assert group_run.metrics(2)["kl"] > 0
