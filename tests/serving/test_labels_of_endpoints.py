"""Log-probs of labels from the most likely first tokens of an answer, by hand."""

import math

import pytest

from curio_ray.errors import ServerError
from curio_ray.serving.openai_api import label_log_probs

CERTAIN = [("Yes", math.log(0.9)), ("No", math.log(0.0999)), ("Well", math.log(0.0001))]


def test_labels_that_are_tokens_have_the_tokens_log_probs():
    assert label_log_probs(("No", "Yes"), CERTAIN) == pytest.approx(
        [math.log(0.0999), math.log(0.9)]
    )


def test_tokens_that_begin_a_label_add_up():
    listed = [("Yes", math.log(0.5)), (" Yes", math.log(0.2)), ("N", math.log(0.3))]
    assert label_log_probs(("No", "Yes"), listed) == pytest.approx([math.log(0.3), math.log(0.7)])


def test_a_token_that_begins_two_labels_counts_for_neither():
    listed = [("s", math.log(0.5)), ("swim", math.log(0.3)), ("ski", math.log(0.2))]
    found = label_log_probs(("swimming", "skiing"), listed)
    assert found == pytest.approx([math.log(0.3), math.log(0.2)])


def test_a_label_that_is_not_listed_has_the_least_listed_probability_at_most():
    listed = [("A", math.log(0.995)), ("x", math.log(0.003)), ("y", math.log(0.001))]
    assert label_log_probs(("A", "B"), listed) == pytest.approx([math.log(0.995), math.log(0.001)])


def test_nor_more_than_all_that_is_not_listed():
    listed = [("A", math.log(0.989)), ("x", math.log(0.01))]
    found = label_log_probs(("A", "B"), listed)
    assert found[1] == pytest.approx(math.log(0.001))


def test_labels_that_the_model_would_not_say_are_an_error_that_shows_what_it_would_say():
    listed = [("The", math.log(0.9)), ("A", math.log(0.05)), ("I", math.log(0.04))]
    with pytest.raises(ServerError, match=r"one of the labels A, B: .* 0\.05 .*'The'"):
        label_log_probs(("A", "B"), listed)


def test_a_list_without_any_label_is_an_error():
    with pytest.raises(ServerError, match="does not answer with one of the labels"):
        label_log_probs(("A", "B"), [("The", -0.1), ("I", -3.0)])
