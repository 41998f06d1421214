"""Reward streams and how they become advantages."""

from __future__ import annotations

from typing import Literal

from curio_ray.config.base import Fraction, Positive, Section

IntrinsicName = Literal[
    "mtrlhf", "acc", "log_acc", "ent", "diff_acc", "diff_log_acc", "diff_ent", "info_gain"
]


class TaskRewardConfig(Section):
    """The sparse reward of the last turn: by the task's rule, or by the reward model."""

    source: Literal["rule", "reward_model"] = "reward_model"
    weight: float = 1.0


class IntrinsicRewardConfig(Section):
    """The dense reward for getting to know the user; `mtrlhf` is none of it, the baseline."""

    name: IntrinsicName = "diff_acc"
    weight: float = 1.0


class RewardsConfig(Section):
    """Every reward stream with its weight."""

    task: TaskRewardConfig = TaskRewardConfig()
    intrinsic: IntrinsicRewardConfig = IntrinsicRewardConfig()


class CreditConfig(Section):
    """From rewards to advantages, one per policy turn.

    `discount` and `gae_lambda` are spent at turn boundaries. `gae` uses the value head; `group`
    compares the dialogues of one user with each other (leave-one-out), without a value.
    """

    estimator: Literal["gae", "group"] = "gae"
    discount: Fraction = 1.0
    gae_lambda: Fraction = 0.95
    group_size: Positive = 1
    normalise: bool = True
