"""The advantages of a batch: by the config's estimator, without what is noise, and scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.dialogue import Dialogue
from curio_ray.rewards.credit import members_of, returns_to_go, rloo_advantages, turn_level_gae
from curio_ray.rewards.streams import stream_weights, weighted_rewards

ROUNDING = 1e-8
"""Deviations below it are float error, whatever the config says."""


@dataclass(slots=True)
class RunningDeviation:
    """The deviation of the advantages over the last batches that had a signal; 0 before the first.

    It is the root of an exponential mean of variances. `weight` is the sum of the mean's weights,
    which is less than 1 in the beginning.
    """

    variance: float = 0.0
    weight: float = 0.0

    @property
    def value(self) -> float:
        """In the units of the rewards."""
        return math.sqrt(self.variance / self.weight) if self.weight else 0.0

    def update(self, deviation: float, memory: float) -> None:
        """Count a batch; `memory` is the share that older ones keep."""
        self.variance = memory * self.variance + (1 - memory) * deviation**2
        self.weight = memory * self.weight + (1 - memory)


@dataclass(frozen=True, slots=True)
class Credit:
    """Advantages and value targets, each one array [policy turns] per dialogue, and figures."""

    advantages: list[np.ndarray]
    targets: list[np.ndarray]
    metrics: Mapping[str, float] = field(default_factory=dict)


def batch_advantages(
    dialogues: Sequence[Dialogue],
    values: Sequence[np.ndarray] | None,
    rewards: RewardsConfig,
    credit: CreditConfig,
    running: RunningDeviation | None = None,
) -> Credit:
    """What each turn of a batch gets.

    Dialogues that tell nothing apart get 0 in every turn: under `rloo` each group whose advantages
    are all below `credit.min_deviation`, under `gae` a batch whose returns differ by less.

    Args:
        dialogues: with their rewards.
        values: per dialogue, of the state before each policy turn; `rloo` needs none.
        rewards: the weights of the streams.
        credit: the estimator and the scale.
        running: of the batches before; this batch is added to it.
    """
    weights = stream_weights(rewards)
    paid = [weighted_rewards(dialogue, weights) for dialogue in dialogues]
    if credit.estimator == "rloo":
        estimated = _by_leaving_one_out(paid, [each.user.id for each in dialogues], credit)
    else:
        assert values is not None, "turn_level_gae needs values"
        estimated = _by_values(paid, values, credit)
    heard = [index for group in estimated.groups if group.has_signal for index in group.members]
    running = RunningDeviation() if running is None else running
    scaled, deviation = normalised([estimated.advantages[at] for at in heard], credit, running)
    advantages = [np.zeros_like(each) for each in paid]
    for index, each in zip(heard, scaled, strict=True):
        advantages[index] = each
    silent = sum(not group.has_signal for group in estimated.groups)
    return Credit(
        advantages,
        estimated.targets,
        {
            "no_signal_share": silent / len(estimated.groups),
            "advantage_deviation": deviation,
        },
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Dialogues that are compared with each other, as indices, and whether they differ."""

    members: list[int]
    has_signal: bool


@dataclass(frozen=True, slots=True)
class _Estimated:
    """Advantages before they are scaled, value targets, and who was compared with whom."""

    advantages: list[np.ndarray]
    targets: list[np.ndarray]
    groups: list[_Group]


def _by_leaving_one_out(
    rewards: Sequence[np.ndarray], users: Sequence[str], credit: CreditConfig
) -> _Estimated:
    advantages = rloo_advantages(rewards, users, credit.discount)
    largest = [float(np.abs(each).max()) for each in advantages]
    groups = [
        _Group(members, max(largest[index] for index in members) >= credit.min_deviation)
        for members in members_of(users).values()
    ]
    return _Estimated(
        advantages, [returns_to_go(each, credit.discount) for each in rewards], groups
    )


def _by_values(
    rewards: Sequence[np.ndarray], values: Sequence[np.ndarray], credit: CreditConfig
) -> _Estimated:
    pairs = [
        turn_level_gae(each, value.astype(np.float64), credit.discount, credit.gae_lambda)
        for each, value in zip(rewards, values, strict=True)
    ]
    differ = return_deviation([returns_to_go(each, credit.discount) for each in rewards])
    # a dialogue alone is compared with what the values remember of others
    has_signal = len(rewards) == 1 or differ >= credit.min_deviation
    groups = [_Group(list(range(len(rewards))), has_signal)]
    return _Estimated([first for first, _ in pairs], [second for _, second in pairs], groups)


def return_deviation(returns: Sequence[np.ndarray]) -> float:
    """How far dialogues' returns [turns] differ from the same turn on: the largest deviation."""
    longest = max(len(each) for each in returns)
    return max(
        float(np.std([each[turn] for each in returns if len(each) > turn]))
        for turn in range(longest)
    )


def normalised(
    advantages: Sequence[np.ndarray], credit: CreditConfig, running: RunningDeviation
) -> tuple[list[np.ndarray], float]:
    """Advantages as `credit.normalise` says, and their deviation over all turns before.

    They are divided by their deviation, but by no less than the running one of the batches before
    and `credit.min_deviation`: what is smaller than usual stays smaller, and noise stays noise.
    """
    if not advantages:
        return [], 0.0
    flat = np.concatenate(list(advantages))
    mean, deviation = float(flat.mean()), float(flat.std())
    scale = 1.0 / max(deviation, running.value, credit.min_deviation, ROUNDING)
    if credit.deviation_memory:
        running.update(deviation, credit.deviation_memory)
    if credit.normalise == "none":
        return list(advantages), deviation
    if credit.normalise == "mean":
        return [each - mean for each in advantages], deviation
    return [(each - mean) * scale for each in advantages], deviation
