"""Thresholds on an iteration's figures: where an alarm is raised, and where the run ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curio_ray.config.base import Fraction, Section

Distance = Annotated[float, Field(ge=0)]

ALARM_BELOW = ("label_mass",)
"""The figures that are at fault below their threshold; all others are above it."""


class TrainingAlarmsConfig(Section):
    """Where a figure of a training iteration raises an alarm; null raises none.

    A field is the name of a figure in metrics.jsonl. It also counts for `NAME/...`, such as
    label_mass/user_model. A figure that the run does not have raises no alarm.
    """

    log_prob_difference_mean: Distance | None = 0.02
    """How far server and learner differ on a token's log-prob, nats; above."""
    label_mass: Fraction | None = 0.1
    """Probability that a reader's labels hold together; below."""
    truncated_share: Fraction | None = 0.2
    """Share of turns that were cut off at max_tokens; above."""
    empty_share: Fraction | None = 0.05
    """Share of turns without a word; above."""
    failed_share: Fraction | None = 0.05
    """Share of dialogues that failed in every attempt; above."""
    no_signal_share: Fraction | None = 0.9
    """Share of groups, or 1 for a batch, whose dialogues all earned the same; above."""
    update_kl: Distance | None = 0.2
    """How far one update moved the policy, nats per token; above."""


class TrainingStopsConfig(Section):
    """Where a figure of a training iteration ends the run, with a checkpoint; null ends none.

    The fields are those of training.alarms.
    """

    log_prob_difference_mean: Distance | None = 0.1
    """How far server and learner differ on a token's log-prob, nats; above."""
    label_mass: Fraction | None = 0.01
    """Probability that a reader's labels hold together; below."""
    truncated_share: Fraction | None = None
    """Share of turns that were cut off at max_tokens; above."""
    empty_share: Fraction | None = None
    """Share of turns without a word; above."""
    failed_share: Fraction | None = None
    """Share of dialogues that failed in every attempt; above."""
    no_signal_share: Fraction | None = None
    """Share of groups, or 1 for a batch, whose dialogues all earned the same; above."""
    update_kl: Distance | None = None
    """How far one update moved the policy, nats per token; above."""
