"""Orders of labels, averages and temperature, by hand."""

import math
from itertools import permutations

import numpy as np
import pytest

from curio_ray.roles.beliefs import at_temperature, average, belief_over_types, label_orders


def test_the_first_order_is_the_tasks_own():
    assert label_orders(3, 1) == [(0, 1, 2)]


@pytest.mark.parametrize("types", [2, 3, 4])
def test_all_orders_are_all_permutations_once(types):
    orders = label_orders(types, math.factorial(types))
    assert sorted(orders) == sorted(permutations(range(types)))


def test_as_many_orders_as_types_put_each_type_once_in_each_position():
    orders = np.array(label_orders(4, 4))
    for position in orders.T:
        assert sorted(position) == [0, 1, 2, 3]


def test_more_orders_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="2 labels have 2 orders"):
        label_orders(2, 3)


def test_labels_go_back_to_their_types():
    belief = belief_over_types(np.array([0.5, 0.3, 0.2]), (2, 0, 1))
    np.testing.assert_array_equal(belief, [0.3, 0.2, 0.5])


def test_several_beliefs_are_averaged():
    belief = average([np.array([1.0, 0.0]), np.array([0.5, 0.5])])
    np.testing.assert_array_equal(belief, [0.75, 0.25])


def test_one_belief_is_its_own_average():
    belief = np.array([0.1, 0.2, 0.7])
    np.testing.assert_array_equal(average([belief]), belief)


def test_temperature_two_takes_the_square_root_of_the_odds():
    belief = at_temperature(np.array([0.8, 0.2]), 2.0)
    assert belief[0] / belief[1] == pytest.approx(2.0)


def test_a_temperature_and_its_inverse_cancel():
    belief = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(at_temperature(at_temperature(belief, 0.5), 2.0), belief)


def test_a_belief_of_zero_stays_finite():
    assert np.all(np.isfinite(at_temperature(np.array([1.0, 0.0]), 3.0)))
