"""How the learning rates and the KL divergence's weight change over a run: pure functions."""

from __future__ import annotations

import math

from curio_ray.config.schedules import DecayConfig, KLCoefficient, KLScheduleConfig, KLTargetConfig


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Share of the full learning rate at an optimizer step counted from 0: linear, then 1."""
    return min(1.0, (step + 1) / (warmup_steps + 1))


def decay_factor(iteration: int, iterations: int, decay: DecayConfig) -> float:
    """Share of the learning rate that is left in an iteration counted from 0; 1 in the first."""
    past = min(1.0, iteration / max(1, iterations - 1))
    if decay.shape == "constant":
        return 1.0
    left = 1 - past if decay.shape == "linear" else (1 + math.cos(math.pi * past)) / 2
    return decay.floor + (1 - decay.floor) * left


def first_coefficient(config: KLCoefficient) -> float:
    """The weight of the KL divergence in the first iteration."""
    return config if isinstance(config, int | float) else config.start


def next_coefficient(
    config: KLCoefficient, coefficient: float, kl: float, updates: int, policy_steps: int
) -> float:
    """The weight of the KL divergence after `updates` iterations.

    Args:
        config: a number, a schedule or a target.
        coefficient: of the last iteration.
        kl: the divergence in that iteration, nats per token.
        updates: iterations so far.
        policy_steps: the policy's optimizer steps so far. Before the first, while the value learns
            alone, the divergence is 0 and tells a target nothing.
    """
    if isinstance(config, KLScheduleConfig):
        past = min(1.0, updates / config.iterations)
        return config.start + (config.end - config.start) * past
    if isinstance(config, KLTargetConfig):
        if not policy_steps:
            return coefficient
        error = min(1.0, max(-1.0, kl / config.target - 1))
        return coefficient * (1 + config.change * error)
    return config
