"""Temperature scaling of recorded beliefs."""

import numpy as np
import pytest
from made_dialogues import made

from curio_ray.dialogue import Dialogue, User
from curio_ray.errors import ConfigError
from curio_ray.evaluation.calibration import (
    calibrate,
    fit_temperature,
    negative_log_likelihood,
    recorded_beliefs,
)
from curio_ray.roles.beliefs import at_temperature


def right_beliefs(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Beliefs that are right: each true type is drawn from its belief."""
    generator = np.random.default_rng(0)
    beliefs = generator.dirichlet(np.ones(3), size=count)
    return beliefs, np.array([generator.choice(3, p=belief) for belief in beliefs])


def dialogues(temperature: float) -> list[Dialogue]:
    """One dialogue for each right belief, recorded at a temperature; all users differ."""
    beliefs, types = right_beliefs()
    held = []
    for number, (belief, true) in enumerate(zip(beliefs, types, strict=True)):
        dialogue = made([at_temperature(belief, temperature)] * 2)
        dialogue.user = User(f"user-{number}", int(true), {})
        held.append(dialogue)
    return held


def test_beliefs_that_are_right_keep_temperature_one():
    assert fit_temperature(*right_beliefs()) == pytest.approx(1, abs=0.05)


def test_beliefs_that_are_too_sure_are_found_out():
    beliefs, types = right_beliefs()
    assert fit_temperature(at_temperature(beliefs, 0.4), types) == pytest.approx(2.5, rel=0.05)


def test_beliefs_that_are_nearly_certain_and_sometimes_wrong_are_found_out():
    beliefs = np.tile([0.99, 0.01], (100, 1))
    types = np.repeat([0, 0, 0, 1], 25)
    fitted = at_temperature(beliefs, fit_temperature(beliefs, types))
    np.testing.assert_allclose(fitted[0], [0.75, 0.25], atol=1e-3)


def test_the_fit_is_the_minimum_of_the_likelihoods_on_a_grid():
    beliefs, types = right_beliefs(200)
    best = fit_temperature(beliefs, types)
    at_best = negative_log_likelihood(at_temperature(beliefs, best), types)
    grid = np.geomspace(0.1, 10, 200)
    others = [negative_log_likelihood(at_temperature(beliefs, each), types) for each in grid]
    assert at_best <= min(others) + 1e-6


def test_the_fit_does_not_depend_on_the_temperature_of_the_recorded_beliefs():
    assert calibrate(dialogues(2.0), 2.0).temperature == pytest.approx(
        calibrate(dialogues(1.0), 1.0).temperature, rel=1e-3
    )


def test_calibration_lowers_likelihood_and_error_of_users_it_has_not_seen():
    fitted = calibrate(dialogues(0.4), 1.0)
    assert fitted.nll_after < fitted.nll_before
    assert fitted.error_after < fitted.error_before / 2


def test_a_turn_that_nobody_answered_gives_no_belief():
    beliefs, types = recorded_beliefs([made([[0.5, 0.5], [0.9, 0.1]])])
    np.testing.assert_array_equal(beliefs, [[0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_array_equal(types, [0, 0])


def test_one_user_is_too_few():
    with pytest.raises(ConfigError, match="two users"):
        calibrate([made()], 1.0)
