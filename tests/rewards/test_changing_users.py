"""Rewards of dialogues whose user becomes someone of another type, against values by hand."""

import numpy as np
import pytest
from paid import paid, paid_for

from curio_ray.dialogue import Change, Dialogue, Turn, User

HALF, FIRST, SECOND = [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]
CHANGING = User("u", 0, {"joints": "sore"}, (Change(2, 1, {"joints": "fine"}),))


def say() -> Turn:
    return Turn("policy", "your joints ?", [1], [0.0], [0])


def dialogue(beliefs: list[list[float]], user: User = CHANGING) -> Dialogue:
    """One exchange per belief but the first, then the policy's last turn."""
    turns = []
    for belief in beliefs[1:]:
        turns += [say(), Turn("user", "joints sore .", [1], belief=np.array(belief))]
    return Dialogue("d", user, [1], [*turns, say()], np.array(beliefs[0]))


def test_a_user_is_someone_else_from_the_exchange_after_the_change_on():
    assert [CHANGING.at(exchanges).type_index for exchanges in range(4)] == [0, 0, 1, 1]
    assert CHANGING.at(1).persona == {"joints": "sore"}
    assert CHANGING.at(2).persona == {"joints": "fine"}


def test_a_user_without_changes_is_the_same_throughout():
    user = User("u", 1, {})
    assert user.at(0) is user.at(7) is user


def test_a_change_before_the_first_exchange_is_refused():
    with pytest.raises(ValueError, match="begin as that user"):
        Change(0, 1, {})


def test_each_belief_has_the_type_of_the_user_who_gave_the_reply():
    held = dialogue([HALF, FIRST, FIRST, SECOND])
    assert held.true_types().tolist() == [0, 0, 0, 1, 1]
    assert held.beliefs().shape[0] == len(held.true_types())


def test_the_user_of_the_end_is_who_hears_the_last_turn():
    assert dialogue([HALF, FIRST]).last_user.type_index == 0
    assert not dialogue([HALF, FIRST]).changed
    assert dialogue([HALF, FIRST, FIRST]).last_user.type_index == 1
    assert dialogue([HALF, FIRST, FIRST]).changed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc", [0.9, 0.9, 0.8, 0.8]),
        ("diff_acc", [0.4, 0.0, -0.1, 0.0]),
        ("log_acc", np.log([0.9, 0.9, 0.8, 0.8])),
        ("diff_log_acc", [np.log(0.9 / 0.5), 0.0, np.log(0.8 / 0.9), 0.0]),
    ],
)
def test_each_belief_counts_by_the_type_of_its_own_time(name, expected):
    held = dialogue([HALF, FIRST, FIRST, SECOND])
    np.testing.assert_allclose(paid_for(held, name=name), expected, atol=1e-12)


def test_an_unnoticed_change_costs_the_belief_in_the_former_type():
    held = dialogue([HALF, FIRST, FIRST, FIRST])
    np.testing.assert_allclose(paid_for(held), [0.4, 0.0, 0.1 - 0.9, 0.0], atol=1e-12)


def test_undiscounted_differences_still_sum_to_the_change_from_start_to_end():
    beliefs = dialogue([HALF, FIRST, FIRST, SECOND])
    rewards = paid("diff_acc", beliefs.beliefs(), beliefs.true_types())
    assert rewards.sum() == pytest.approx(0.8 - 0.5)


def test_a_reply_counts_by_the_type_of_the_user_who_gave_it():
    beliefs = np.array([HALF, FIRST, SECOND])
    before_replies = np.array([HALF, [0.6, 0.4]])
    rewards = paid("diff_acc", beliefs, np.array([0, 0, 1]), before_replies=before_replies)
    np.testing.assert_allclose(rewards, [0.9 - 0.5, 0.8 - 0.4])


def test_rewards_without_a_true_type_do_not_see_the_change():
    beliefs = dialogue([HALF, FIRST, FIRST, SECOND]).beliefs()
    for name in ("ent", "diff_ent", "info_gain"):
        np.testing.assert_array_equal(
            paid(name, beliefs, np.array([0, 0, 0, 1, 1])), paid(name, beliefs)
        )
