"""The gain of the user's replies, apart from the policy's own words."""

import numpy as np
import pytest
from paid import paid, paid_for

from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.intrinsic import OF_THE_PAPER

EVEN = np.array([0.5, 0.5])
PERSUADED = np.array([0.9, 0.1])
MISLED = np.array([0.1, 0.9])


def dialogue(*exchanges: tuple[np.ndarray, np.ndarray], ends: bool = False) -> Dialogue:
    """Exchanges as the beliefs after the policy's words and after the reply; true is type 0."""
    turns: list[Turn] = []
    for own_words, reply in exchanges:
        turns.append(Turn("policy", "said", [1], [0.0], [0], belief=own_words))
        turns.append(Turn("user", "replied", [1], belief=reply))
    if ends:
        turns.append(Turn("policy", "bye", [1], [0.0], [0]))
    return Dialogue("made", User("someone", 0, {}), [1], turns, EVEN)


def rewards(held: Dialogue, attribution: str) -> list[float]:
    return paid_for(held, attribution=attribution)


@pytest.mark.parametrize(
    ("name", "discount", "expected"),
    [
        ("diff_acc", 1.0, 0.4),
        ("diff_acc", 0.5, 0.2),
        ("diff_log_acc", 1.0, np.log(1.8)),
        ("diff_ent", 1.0, np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)),
        ("acc", 0.5, 0.4),
        ("info_gain", 1.0, 0.9 * np.log(1.8) + 0.1 * np.log(0.2)),
        ("mtrlhf", 1.0, 0.0),
    ],
)
def test_replies_are_paid_by_values_computed_by_hand(name, discount, expected):
    beliefs = np.array([MISLED, PERSUADED])
    earned = paid(name, beliefs, discount=discount, before_replies=np.array([EVEN]))
    np.testing.assert_allclose(earned, [expected], atol=1e-9)


@pytest.mark.parametrize("name", [each.name for each in OF_THE_PAPER])
@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_a_reply_that_moves_nothing_is_paid_nothing(name, discount):
    beliefs = np.array([EVEN, PERSUADED, MISLED])
    earned = paid(name, beliefs, discount=discount, before_replies=beliefs[1:])
    np.testing.assert_allclose(earned, 0, atol=1e-12)


def test_words_that_persuade_are_paid_as_an_exchange_and_not_as_a_reply():
    persuasion = dialogue((PERSUADED, PERSUADED))
    assert rewards(persuasion, "exchange") == pytest.approx([0.4])
    assert rewards(persuasion, "reply") == pytest.approx([0.0])


def test_a_turn_that_nobody_answers_is_paid_nothing():
    assert rewards(dialogue((EVEN, PERSUADED), ends=True), "reply")[-1] == 0.0


def test_provoked_corrections_are_paid_each_time_as_replies_and_once_as_exchanges():
    corrected = dialogue(*[(MISLED, PERSUADED)] * 3)
    assert sum(rewards(corrected, "reply")) == pytest.approx(3 * 0.8)
    assert sum(rewards(corrected, "exchange")) == pytest.approx(0.4)


def test_replies_cannot_be_paid_where_the_belief_before_them_was_not_read():
    held = dialogue((EVEN, PERSUADED))
    held.turns[0].belief = None
    with pytest.raises(ValueError, match="no beliefs before"):
        rewards(held, "reply")
