"""A user's reward function that fails ends with its name and the dialogue's."""

import numpy as np
import pytest

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.errors import RewardError
from curio_ray.rewards.intrinsic import IntrinsicReward
from curio_ray.rewards.streams import assign_intrinsic_reward


def divides_by_nothing(sequence):
    return 1 / (len(sequence.after) - len(sequence.before))


def held() -> Dialogue:
    turns = [Turn("policy", "hm", [1], [0.0], [0]), Turn("policy", "bye", [1], [0.0], [0])]
    turns.insert(1, Turn("user", "yes", [1], belief=np.array([0.9, 0.1])))
    return Dialogue("held-7", User("someone", 0, {}), [1], turns, np.array([0.5, 0.5]))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda sequence: sequence.beliefs[:, 0],
            r"shape \(3,\); return one number per turn.*\(2,\)",
        ),
        (lambda sequence: 1.0, r"shape \(\)"),
        (lambda sequence: None, r"returned \[?nan|shape \(\)"),
        (lambda sequence: [0.0, np.nan], r"returned \[ 0. nan\]; return finite numbers"),
        (lambda sequence: [0.0, np.inf], r"return finite numbers"),
        (lambda sequence: ["a", "b"], r"ended with ValueError: could not convert"),
        (divides_by_nothing, r"ended with ZeroDivisionError: .*test_failing_rewards\.py, line \d+"),
    ],
)
def test_a_reward_that_fails_is_named_with_the_dialogue(function, said):
    with pytest.raises(
        RewardError, match=rf"(?s)^dialogue held-7: rewards\.intrinsic: mine .*{said}"
    ):
        assign_intrinsic_reward(
            held(), IntrinsicReward("mine", function), IntrinsicRewardConfig(), discount=1.0
        )


def test_nothing_is_paid_where_a_reward_fails():
    dialogue = held()
    with pytest.raises(RewardError):
        assign_intrinsic_reward(
            dialogue, IntrinsicReward("mine", lambda _: [1.0]), IntrinsicRewardConfig(), 1.0
        )
    assert all(not turn.rewards for turn in dialogue.turns)
