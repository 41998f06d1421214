"""Turn-level GAE against the exact policy gradient of a small POMDP, by enumeration.

The world: a hidden type (0 or 1). The policy has two turns. It may ask (1) or chat (0); asking
reveals the type. Then it guesses; a right guess pays 1. Chatting pays a dense 0.1, so that both
dense and sparse rewards are there. The policy is a softmax table over observation histories.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from curio_ray.rewards.credit import turn_level_gae

TYPES, FIRST_ACTIONS, GUESSES = (0, 1), (0, 1), (0, 1)
HISTORIES = ("start", "nothing seen", "saw 0", "saw 1")


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def history_after(action: int, user_type: int) -> int:
    return 2 + user_type if action == 1 else 1


def trajectories(logits: np.ndarray) -> Iterator[tuple[float, list[int], list[int], np.ndarray]]:
    """Every trajectory: its probability, histories acted from, actions and rewards."""
    for user_type, action, guess in product(TYPES, FIRST_ACTIONS, GUESSES):
        second = history_after(action, user_type)
        probability = 0.5 * softmax(logits[0])[action] * softmax(logits[second])[guess]
        rewards = np.array([0.1 * (action == 0), float(guess == user_type)])
        yield probability, [0, second], [action, guess], rewards


def expected_return(logits: np.ndarray, discount: float) -> float:
    return sum(
        probability * float(rewards @ discount ** np.arange(2))
        for probability, _, _, rewards in trajectories(logits)
    )


def brute_force_gradient(logits: np.ndarray, discount: float) -> np.ndarray:
    """The gradient of the expected return by central differences of the exact sum."""
    gradient, step = np.zeros_like(logits), 1e-5
    for index in np.ndindex(*logits.shape):
        change = np.zeros_like(logits)
        change[index] = step
        gradient[index] = (
            expected_return(logits + change, discount) - expected_return(logits - change, discount)
        ) / (2 * step)
    return gradient


def exact_values(logits: np.ndarray, discount: float) -> np.ndarray:
    """The value of each history under the policy: expected return to go given the history."""
    totals, weights = np.zeros(len(HISTORIES)), np.zeros(len(HISTORIES))
    for probability, histories, _, rewards in trajectories(logits):
        to_go = [rewards[0] + discount * rewards[1], rewards[1]]
        for history, value in zip(histories, to_go, strict=True):
            totals[history] += probability * value
            weights[history] += probability
    return totals / weights


def gae_gradient(
    logits: np.ndarray, values: np.ndarray, discount: float, gae_lambda: float
) -> np.ndarray:
    """Expectation, over all trajectories, of the policy gradient with GAE advantages."""
    gradient = np.zeros_like(logits)
    for probability, histories, actions, rewards in trajectories(logits):
        advantages, _ = turn_level_gae(rewards, values[histories], discount, gae_lambda)
        for turn, (history, action) in enumerate(zip(histories, actions, strict=True)):
            score = -softmax(logits[history])
            score[action] += 1
            gradient[history] += probability * discount**turn * advantages[turn] * score
    return gradient


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(HISTORIES), 2))


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("gae_lambda", [1.0, 0.95, 0.5, 0.0])
def test_gae_with_exact_values_is_the_policy_gradient(logits, discount, gae_lambda):
    gradient = gae_gradient(logits, exact_values(logits, discount), discount, gae_lambda)
    np.testing.assert_allclose(gradient, brute_force_gradient(logits, discount), atol=1e-8)


def test_gae_at_lambda_one_is_the_policy_gradient_whatever_the_values(logits):
    wrong_values = np.array([3.0, -1.0, 2.0, 0.5])
    gradient = gae_gradient(logits, wrong_values, discount=1.0, gae_lambda=1.0)
    np.testing.assert_allclose(gradient, brute_force_gradient(logits, 1.0), atol=1e-8)


def test_the_gradient_points_to_asking_and_then_believing_the_answer(logits):
    for _ in range(2000):
        values = exact_values(logits, 1.0)
        logits = logits + gae_gradient(logits, values, discount=1.0, gae_lambda=0.95)
    best = [int(np.argmax(row)) for row in logits]
    assert [best[0], best[2], best[3]] == [1, 0, 1]
