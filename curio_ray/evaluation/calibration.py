"""The temperature at which a user model's confidence tells its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from curio_ray.dialogue import Dialogue
from curio_ray.errors import ConfigError
from curio_ray.evaluation.monitors import expected_calibration_error
from curio_ray.roles.beliefs import SMALLEST_PROBABILITY, at_temperature

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted temperature, and what it changes for users that the fit did not see.

    `*_before` is at the temperature of the recorded beliefs; likelihoods are in nats per belief.
    """

    temperature: float
    fitted_users: int
    measured_users: int
    nll_before: float
    nll_after: float
    error_before: float
    error_after: float


def calibrate(dialogues: Sequence[Dialogue], temperature: float) -> Calibration:
    """Fit the temperature with half of the users and measure it with the others.

    Args:
        dialogues: with recorded beliefs.
        temperature: at which those were recorded.

    Raises:
        ConfigError: there are fewer than two users.
    """
    users = sorted({each.user.id for each in dialogues})
    if len(users) < 2:
        raise ConfigError("calibration needs dialogues with two users or more; record more")
    fitted = set(np.random.default_rng(0).permutation(users)[: len(users) // 2])
    for_fit = recorded_beliefs([each for each in dialogues if each.user.id in fitted])
    recorded, types = recorded_beliefs([each for each in dialogues if each.user.id not in fitted])
    # what was divided by the temperature is multiplied by it again
    best = fit_temperature(at_temperature(for_fit[0], 1 / temperature), for_fit[1])
    calibrated = at_temperature(recorded, best / temperature)
    return Calibration(
        temperature=best,
        fitted_users=len(fitted),
        measured_users=len(users) - len(fitted),
        nll_before=negative_log_likelihood(recorded, types),
        nll_after=negative_log_likelihood(calibrated, types),
        error_before=_calibration_error(recorded, types),
        error_after=_calibration_error(calibrated, types),
    )


def recorded_beliefs(dialogues: Sequence[Dialogue]) -> tuple[np.ndarray, np.ndarray]:
    """All beliefs, at the start and after replies [beliefs, user types], and the true types."""
    beliefs, types = [], []
    for each in dialogues:
        read = 1 + len(each.turns) // 2
        beliefs.append(each.beliefs()[:read])
        types.append(each.true_types()[:read])
    return np.concatenate(beliefs), np.concatenate(types)


def fit_temperature(beliefs: np.ndarray, true_types: np.ndarray) -> float:
    """The temperature, within 0.05 and 20, at which the true types are the most likely.

    The likelihood is convex in the inverse temperature, so that its one minimum is found.
    Source: Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599.

    Args:
        beliefs: at temperature 1, [beliefs, user types].
        true_types: [beliefs].
    """
    logits = np.log(np.maximum(beliefs, SMALLEST_PROBABILITY))
    of_true_types = logits[np.arange(len(logits)), true_types]

    def surprise(inverse: float) -> float:
        # not through probabilities, whose smallest would be cut off and the minimum missed
        return float(np.mean(logsumexp(inverse * logits, axis=1) - inverse * of_true_types))

    found = minimize_scalar(
        surprise,
        bounds=(1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE),
        method="bounded",
    )
    return float(1 / found.x)


def negative_log_likelihood(beliefs: np.ndarray, true_types: np.ndarray) -> float:
    """Mean surprise at the true types, in nats; a belief of zero counts as 1e-12."""
    held = beliefs[np.arange(len(beliefs)), true_types]
    return float(-np.log(np.maximum(held, SMALLEST_PROBABILITY)).mean())


def _calibration_error(beliefs: np.ndarray, true_types: np.ndarray) -> float:
    return expected_calibration_error(beliefs.max(axis=1), beliefs.argmax(axis=1) == true_types)
