"""What an iteration's log tells of beliefs and of the weights that sampled its tokens."""

import pytest
from made_dialogues import made

from curio_ray.dialogue import Dialogue
from curio_ray.evaluation.measures import belief_accuracy, staleness


def test_belief_accuracy_counts_the_last_beliefs_that_are_highest_for_the_true_type():
    right = made([[0.1, 0.9], [0.6, 0.4]], true_type=0)
    wrong = made([[0.9, 0.1], [0.4, 0.6]], true_type=0)
    assert belief_accuracy([right, right, wrong, wrong]) == 0.5


@pytest.fixture
def aged() -> Dialogue:
    """A dialogue whose four tokens were sampled from the versions 4, 4, 5 and 6."""
    dialogue = made([[0.5, 0.5], [0.5, 0.5]], tokens=[1, 3])
    dialogue.turns[0].weight_versions = [4]
    dialogue.turns[2].weight_versions = [4, 5, 6]
    return dialogue


def test_staleness_is_the_mean_over_tokens_of_the_versions_that_passed(aged):
    assert staleness([aged], version=6)["staleness"] == pytest.approx(5 / 4)


def test_the_most_stale_token_is_told_apart_from_the_mean(aged):
    assert staleness([aged], version=6)["staleness_max"] == 2
