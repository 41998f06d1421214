"""What is minimised: the policy's loss out of a registry, KL divergence and value error.

Every loss is a sum, a pure function of tensors. `Objective` divides each by its count in the whole
minibatch over all ranks, so that the result does not depend on how sequences were packed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.config.losses import CustomLossConfig, LossConfig
from curio_ray.errors import LearnerError
from curio_ray.learner.metrics import Maximum, Mean, Metric
from curio_ray.learner.packing import PackedTensors
from curio_ray.learner.sequences import TrainingSequence
from curio_ray.plugins import load_function

KL_RATIO_CAP = 2.0
"""Largest importance ratio of a token in the KL divergence."""
LARGEST_LOG_RATIO = 20.0
"""Nats by which a token's log-probs may differ; beyond them one token would outweigh any batch, or
its ratio not be a finite number at all."""


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """A pack's part of the policy's loss.

    `total` is a sum over tokens or over turns, a tensor of shape [] with a gradient. It is divided
    by the number of the minibatch's tokens or turns, as `per` says. `metrics` are figures of the
    loss's own by name; every pack must bring the same names, a pack without tokens too.
    """

    total: torch.Tensor
    per: Literal["token", "turn"] = "token"
    metrics: Mapping[str, Metric] = field(default_factory=dict)


def log_ratios(log_probs: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """log_probs - others, both [A], within ±LARGEST_LOG_RATIO, with its gradient there."""
    return (log_probs - others).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def importance_ratios(log_probs: torch.Tensor, behaviour_log_probs: torch.Tensor) -> torch.Tensor:
    """π(token) / μ(token) for the learner's π and the μ that sampled, float32[A], no gradient."""
    return log_ratios(log_probs.detach(), behaviour_log_probs).exp()


def reinforce(
    pack: PackedTensors, log_probs: torch.Tensor, *, importance_ratio_cap: float
) -> PolicyLoss:
    """-Σ min(ratio, cap) · advantage · log π, with the factor before log π held constant.

    REINFORCE with truncated importance sampling (Espeholt et al. 2018, arXiv 1802.01561, ρ of
    V-trace): at ratio 1 its gradient is the policy gradient. `log_probs` are [A].
    """
    ratios = importance_ratios(log_probs, pack.behaviour_log_probs)
    total = -(ratios.clamp(max=importance_ratio_cap) * pack.advantages * log_probs).sum()
    return PolicyLoss(total, "token", {"clipped_share": Mean.of(ratios > importance_ratio_cap)})


def ppo(
    pack: PackedTensors,
    log_probs: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
) -> PolicyLoss:
    """-Σ min(ratio · advantage, clip(ratio) · advantage) over tokens, with the ratio's gradient.

    Schulman et al. 2017, arXiv 1707.06347, equation 7, with bounds of their own to each side. With
    `dual_clip` c the term of a negative advantage is at least c · advantage (Ye et al. 2020, arXiv
    1912.09729): one token sampled by chance under another policy cannot dominate.
    `log_probs` are [A].
    """
    ratios = log_ratios(log_probs, pack.behaviour_log_probs).exp()
    objective, clipped = _clipped(ratios, pack.advantages, clip_low, clip_high)
    metrics: dict[str, Metric] = {"clipped_share": Mean.of(clipped)}
    if dual_clip is not None:
        negative = pack.advantages < 0
        bound = dual_clip * pack.advantages
        metrics["dual_clipped_share"] = Mean.of(negative & (objective < bound))
        objective = torch.where(negative, objective.maximum(bound), objective)
    return PolicyLoss(-objective.sum(), "token", metrics)


def gspo(
    pack: PackedTensors, log_probs: torch.Tensor, *, clip_low: float, clip_high: float
) -> PolicyLoss:
    """-Σ min(ratio · advantage, clip(ratio) · advantage) over turns, with the ratio's gradient.

    Zheng et al. 2025, arXiv 2507.18071, equations 5 and 7, where the sequence is one policy turn:
    its ratio is exp(mean log-ratio of its tokens). `log_probs` are [A].
    """
    ratios = turn_ratios(pack, log_probs)
    advantages = turn_means(pack, pack.advantages)
    objective, clipped = _clipped(ratios, advantages, clip_low, clip_high)
    metrics: dict[str, Metric] = {
        "clipped_share": Mean.of(clipped),
        "turn_ratio_max_deviation": Maximum.of((ratios - 1).abs()),
    }
    return PolicyLoss(-objective.sum(), "turn", metrics)


def turn_ratios(pack: PackedTensors, log_probs: torch.Tensor) -> torch.Tensor:
    """The length-normalised importance ratio of each turn, float32[T], with its gradient."""
    return turn_means(pack, log_ratios(log_probs, pack.behaviour_log_probs)).exp()


def turn_means(pack: PackedTensors, values: torch.Tensor) -> torch.Tensor:
    """The mean over each turn's tokens, [A] to [T]; 0 for a turn without any."""
    nothing = values.new_zeros(len(pack.value_rows))
    sums = nothing.index_add(0, pack.action_turns, values)
    tokens = nothing.index_add(0, pack.action_turns, torch.ones_like(values))
    return sums / tokens.clamp(min=1)


def _clipped(
    ratios: torch.Tensor, advantages: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """PPO's objective of each term, and where it is clipped."""
    plain = ratios * advantages
    objective = plain.minimum(ratios.clamp(1 - low, 1 + high) * advantages)
    return objective, objective < plain


LossFunction = Callable[..., PolicyLoss]

LOSSES: dict[str, LossFunction] = {"reinforce": reinforce, "ppo": ppo, "gspo": gspo}
"""By the name that `learner.loss.name` gives. Options come by keyword, as the config has them."""


def make_loss(config: LossConfig) -> Callable[[PackedTensors, torch.Tensor], PolicyLoss]:
    """The loss that a config asks for, with its options: a function of a pack and log-probs [A].

    Raises:
        ConfigError: the config's own function cannot be imported.
    """
    if isinstance(config, CustomLossConfig):
        function = load_function(config.function, "learner.loss.function")
        return partial(function, **config.options)
    return partial(LOSSES[config.name], **config.model_dump(exclude={"name"}))


def k3(differences: torch.Tensor) -> torch.Tensor:
    """r - 1 - log r with log r = `differences` [A]: an estimate of KL(μ ‖ π) per token, r = π / μ.

    The tokens are sampled from μ. It is never negative and has low variance. Source: Schulman,
    "Approximating KL Divergence", 2020.
    """
    return differences.exp() - 1 - differences


def kl_loss(
    log_probs: torch.Tensor, reference_log_probs: torch.Tensor, ratios: torch.Tensor
) -> torch.Tensor:
    """Σ of per-token estimates of KL(π ‖ reference), with an unbiased gradient. Tensors are [A].

    The value is `k3` with r = reference / π. Differentiating k3 itself on samples would give the
    gradient of KL(reference ‖ π) (Tang and Munos 2025, arXiv 2506.09477). The gradient here is
    ratio · log(π / reference) · ∇ log π, whose mean over samples of μ is that of KL(π ‖ reference).
    """
    difference = log_ratios(reference_log_probs, log_probs.detach())
    weights = ratios.clamp(max=KL_RATIO_CAP)
    estimate = weights * k3(difference)
    surrogate = weights * -difference * log_probs
    return (surrogate - surrogate.detach() + estimate).sum()


def value_loss(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Σ (value - target)², tensors [T]."""
    return (values - targets).square().sum()


@dataclass(frozen=True, slots=True)
class Counts:
    """Policy tokens, at least 1, and policy turns of a minibatch, over all packs and ranks."""

    tokens: int
    turns: int

    @classmethod
    def of(cls, sequences: Sequence[TrainingSequence]) -> Counts:
        """Those of a minibatch."""
        return cls(
            tokens=max(1, sum(sequence.policy_tokens for sequence in sequences)),
            turns=sum(len(sequence.value_positions) for sequence in sequences),
        )


class Objective:
    """The loss of a pack as its part of the minibatch's.

    Raises:
        ConfigError: the config's own loss cannot be imported.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self._value_coefficient = config.value.coefficient
        self._has_kl = config.has_kl
        self._policy_loss = make_loss(config.loss)

    def __call__(
        self,
        pack: PackedTensors,
        log_probs: torch.Tensor,
        values: torch.Tensor | None,
        counts: Counts,
        kl_coefficient: float,
    ) -> tuple[torch.Tensor, dict[str, Metric]]:
        """The loss and its figures.

        Args:
            pack: with `reference_log_probs`, unless there is no KL divergence in the loss.
            log_probs: float32[A] of the pack's actions.
            values: float32[T] of the states acted from, in the units of the pack's targets; None
                where they are not learned.
            counts: of the whole minibatch.
            kl_coefficient: weight of the KL divergence.

        Raises:
            LearnerError: the config's own loss returns what cannot be learned from.
        """
        policy = self._policy_loss(pack, log_probs)
        _check(policy)
        ratios = importance_ratios(log_probs, pack.behaviour_log_probs)
        loss = policy.total / (counts.tokens if policy.per == "token" else counts.turns)
        tokens, turns = float(len(log_probs)), float(len(pack.value_rows))
        of_value: dict[str, Metric] = {}
        if values is not None:
            value = value_loss(values, pack.value_targets)
            loss = loss + self._value_coefficient * value / counts.turns
            of_value = {"value_loss": Mean(value, turns)}
        kl = torch.zeros_like(policy.total)
        if self._has_kl and pack.reference_log_probs is not None:
            kl = kl_loss(log_probs, pack.reference_log_probs, ratios)
            loss = loss + kl_coefficient * kl / counts.tokens
        common: dict[str, Metric] = {
            "policy_loss": Mean(policy.total, tokens if policy.per == "token" else turns),
            "kl": Mean(kl, tokens),
            **of_value,
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
