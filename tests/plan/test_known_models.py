"""The list of known models agrees with what their shapes say."""

import pytest

from curio_ray.plan.model_size import known_models, known_size, size_of


@pytest.mark.parametrize("name", known_models())
def test_the_parameters_of_a_known_model_follow_from_its_shape(name):
    listed = known_size(name).parameters
    # the formula leaves out biases and the second pair of norms
    assert size_of(known_models()[name]).parameters == pytest.approx(listed, rel=2e-3)


def test_a_count_by_formula_is_marked_as_estimated():
    values = known_models()["google/gemma-2-2b-it"]
    assert size_of(values).estimated
    assert not size_of(values, values["parameters"]).estimated


def test_a_model_off_the_list_has_no_known_size():
    assert known_size("nobody/nothing") is None


def test_keys_and_values_of_grouped_heads_are_counted_once_per_group():
    # 26 layers, 4 key-value heads of width 256, keys and values, two bytes
    assert known_size("google/gemma-2-2b-it").key_value_bytes("bfloat16") == 26 * 4 * 256 * 2 * 2
