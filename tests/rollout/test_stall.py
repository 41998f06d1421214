"""When a belief counts as stalled, by hand."""

import numpy as np
import pytest

from curio_ray.rollout.conversation import has_stalled

HALF, NEAR, FAR = np.array([0.5, 0.5]), np.array([0.51, 0.49]), np.array([0.9, 0.1])


@pytest.mark.parametrize(
    ("beliefs", "stalled"),
    [
        ([HALF], False),
        ([HALF, HALF], False),
        ([HALF, HALF, HALF], True),
        ([HALF, FAR, FAR], False),
        ([HALF, FAR, FAR, FAR], True),
        ([HALF, HALF, HALF, FAR], False),
        ([HALF, NEAR, HALF], True),
    ],
)
def test_only_the_last_two_exchanges_count(beliefs, stalled):
    assert has_stalled(beliefs, exchanges=2, change=0.02) is stalled


def test_a_move_of_exactly_the_threshold_is_a_move():
    quarter = np.array([0.75, 0.25])
    assert not has_stalled([HALF, quarter], exchanges=1, change=0.25)
    assert has_stalled([HALF, quarter], exchanges=1, change=0.26)


def test_small_moves_are_not_added_up():
    drift = [np.array([0.5 + 0.015 * step, 0.5 - 0.015 * step]) for step in range(4)]
    assert has_stalled(drift, exchanges=3, change=0.02)
