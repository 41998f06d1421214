"""What is minimised: the policy's loss, KL divergence and value error, each by its own count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.learner.losses import (
    PolicyLoss,
    importance_ratios,
    kl_loss,
    make_loss,
    value_loss,
)
from curio_ray.learner.metrics import Maximum, Mean, Metric
from curio_ray.learner.packing import PackedTensors
from curio_ray.learner.sequences import TrainingSequence


@dataclass(frozen=True, slots=True)
class Counts:
    """Policy tokens and policy turns of a minibatch, over all packs and ranks."""

    tokens: int
    turns: int

    @classmethod
    def of(cls, sequences: Sequence[TrainingSequence]) -> Counts:
        """Those of a minibatch."""
        return cls(
            tokens=sum(sequence.policy_tokens for sequence in sequences),
            turns=sum(len(sequence.value_positions) for sequence in sequences),
        )


class Objective:
    """The loss of a pack as its part of the minibatch's.

    Raises:
        ConfigError: the config's own loss cannot be imported.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self._config = config
        self._policy_loss = make_loss(config.loss)

    def __call__(
        self, pack: PackedTensors, log_probs: torch.Tensor, values: torch.Tensor, counts: Counts
    ) -> tuple[torch.Tensor, dict[str, Metric]]:
        """The loss and its figures.

        Args:
            pack: with `reference_log_probs`, unless there is no KL divergence in the loss.
            log_probs: float32[A] of the pack's actions.
            values: float32[T] of the states acted from.
            counts: of the whole minibatch.

        Raises:
            LearnerError: the config's own loss returns what cannot be learned from.
        """
        policy = self._policy_loss(pack, log_probs)
        _check(policy)
        ratios = importance_ratios(log_probs, pack.behaviour_log_probs)
        value = value_loss(values, pack.value_targets)
        divisor = counts.tokens if policy.per == "token" else counts.turns
        loss = policy.total / divisor + self._config.value.coefficient * value / counts.turns
        kl = torch.zeros_like(value)
        if self._config.kl_coefficient > 0 and pack.reference_log_probs is not None:
            kl = kl_loss(log_probs, pack.reference_log_probs, ratios)
            loss = loss + self._config.kl_coefficient * kl / counts.tokens
        tokens, turns = float(len(log_probs)), float(len(values))
        common: dict[str, Metric] = {
            "policy_loss": Mean(policy.total, tokens if policy.per == "token" else turns),
            "kl": Mean(kl, tokens),
            "value_loss": Mean(value, turns),
            "ratio_mean": Mean.of(ratios),
            "ratio_max_deviation": Maximum.of((ratios - 1).abs()),
            "entropy": Mean.of(-log_probs),
        }
        if taken := common.keys() & policy.metrics.keys():
            raise LearnerError(
                f"learner.loss: {', '.join(sorted(taken))} is the name of another figure; "
                "call the loss's metric otherwise"
            )
        return loss, common | dict(policy.metrics)


def _check(loss: PolicyLoss) -> None:
    if not isinstance(loss, PolicyLoss):
        raise LearnerError(
            f"learner.loss.function: it returned a {type(loss).__name__}; "
            "return a curio_ray.learner.losses.PolicyLoss"
        )
    if loss.total.shape or not loss.total.requires_grad:
        raise LearnerError(
            "learner.loss.function: the total must be one sum over the log_probs that it was "
            "given, also where there are none; write it with log_probs and .sum()"
        )
    if loss.per not in ("token", "turn"):
        raise LearnerError(
            f"learner.loss.function: its total is a mean per '{loss.per}'; write token or turn"
        )
