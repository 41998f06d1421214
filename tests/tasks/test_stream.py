"""The stream of training users."""

from __future__ import annotations

import pytest

from curio_ray.dialogue import User
from curio_ray.tasks.stream import UserStream

USERS = [User(f"user-{index}", 0, {}) for index in range(7)]


def test_every_user_comes_once_an_epoch() -> None:
    stream = UserStream(USERS, seed=0)
    for _ in range(3):
        assert {user.id for user in stream.take(7)} == {user.id for user in USERS}


def test_each_epoch_has_an_order_of_its_own() -> None:
    stream = UserStream(USERS, seed=0)
    assert stream.take(7) != stream.take(7)


def test_the_seed_decides_the_order() -> None:
    assert UserStream(USERS, seed=0).take(20) == UserStream(USERS, seed=0).take(20)
    assert UserStream(USERS, seed=0).take(20) != UserStream(USERS, seed=1).take(20)


@pytest.mark.parametrize("taken", [0, 3, 7, 10])
def test_a_restored_stream_goes_on_exactly(taken: int) -> None:
    stream = UserStream(USERS, seed=0)
    stream.take(taken)
    resumed = UserStream(USERS, seed=0)
    resumed.restore(stream.state())
    assert resumed.take(20) == stream.take(20)


def test_groups_repeat_each_user_in_a_row() -> None:
    taken = UserStream(USERS, seed=0).take(6, repeat=3)
    assert taken == [taken[0]] * 3 + [taken[3]] * 3
    assert taken[0] != taken[3]


def test_a_count_that_does_not_divide_into_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="groups of 4"):
        UserStream(USERS, seed=0).take(6, repeat=4)


def test_the_state_of_another_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        UserStream(USERS, seed=0).restore(UserStream(USERS, seed=1).state())


def test_a_stream_needs_users() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        UserStream([], seed=0)
