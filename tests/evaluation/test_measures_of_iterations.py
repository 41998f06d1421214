"""What an iteration's log tells of beliefs and of the weights that sampled its tokens."""

import pytest
from made_dialogues import made

from curio_ray.evaluation.measures import belief_accuracy, staleness


def test_belief_accuracy_counts_the_last_beliefs_that_are_highest_for_the_true_type():
    right = made([[0.1, 0.9], [0.6, 0.4]], true_type=0)
    wrong = made([[0.9, 0.1], [0.4, 0.6]], true_type=0)
    assert belief_accuracy([right, right, wrong, wrong]) == 0.5


def test_staleness_is_the_mean_over_tokens_of_the_versions_that_passed():
    dialogue = made([[0.5, 0.5], [0.5, 0.5]], tokens=[1, 3])
    dialogue.turns[0].weight_versions = [4]
    dialogue.turns[2].weight_versions = [4, 5, 6]
    assert staleness([dialogue], version=6) == pytest.approx(5 / 4)
