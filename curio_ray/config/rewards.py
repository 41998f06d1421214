"""Reward streams and how they become advantages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curio_ray.config.base import Fraction, Positive, Section

IntrinsicName = Literal[
    "mtrlhf", "acc", "log_acc", "ent", "diff_acc", "diff_log_acc", "diff_ent", "info_gain"
]


class TaskRewardConfig(Section):
    """The sparse reward of the last turn: by the task's rule, or by the reward model."""

    source: Literal["rule", "reward_model"] = "reward_model"
    """rule: the task's own score. reward_model: the reward model's verdict."""
    weight: float = 1.0
    """Weight of the stream."""


class IntrinsicRewardConfig(Section):
    """The dense reward for getting to know the user; `mtrlhf` is none of it, the baseline."""

    name: IntrinsicName = "diff_acc"
    """Which function of the beliefs is the reward of a turn."""
    weight: float = 1.0
    """Weight of the stream."""
    clip: Annotated[float | None, Field(gt=0)] = None
    """Bound of each turn's reward, to both sides; by default none."""
    final_potential: Literal["kept", "zero"] = "kept"
    """What the last belief counts as in differences: itself, as in the paper, or zero, with which
    shaping leaves the optimal policy unchanged."""


class RewardsConfig(Section):
    """Every reward stream with its weight."""

    task: TaskRewardConfig = TaskRewardConfig()
    """The reward of the finished dialogue."""
    intrinsic: IntrinsicRewardConfig = IntrinsicRewardConfig()
    """The reward of every turn."""


class CreditConfig(Section):
    """From rewards to advantages, one per policy turn.

    `discount` and `gae_lambda` are spent at turn boundaries. `gae` uses the value head; `group`
    compares the dialogues of one user with each other (leave-one-out), without a value.
    """

    estimator: Literal["gae", "group"] = "gae"
    """gae: the value head is the baseline. group: the other dialogues of the same user are."""
    discount: Fraction = 1.0
    """Per turn; also the discount of the reward's potential differences."""
    gae_lambda: Fraction = 0.95
    """Per turn: 1 trusts the returns, 0 the values."""
    group_size: Positive = 1
    """Dialogues per user in an iteration."""
    normalise: bool = True
    """Whether advantages are scaled to unit deviation over the batch."""
