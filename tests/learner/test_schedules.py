"""Learning rates and the KL divergence's weight over a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curio_ray.config.schedules import DecayConfig, KLCoefficient, KLScheduleConfig, KLTargetConfig
from curio_ray.learner.schedules import (
    decay_factor,
    first_coefficient,
    next_coefficient,
    warmup_factor,
)

MakeEngine = Callable[..., Any]
MakeSequences = Callable[..., list]
TARGET = KLTargetConfig(target=0.1, start=0.02, change=0.1)


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    assert [warmup_factor(step, 3) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", [1, 0.8828, 0.6, 0.3172, 0.2]),
    ],
)
def test_the_rate_falls_from_its_full_value_to_the_floor(shape: Any, expected: list[float]) -> None:
    decay = DecayConfig(shape=shape, floor=0.2)
    factors = [decay_factor(iteration, 5, decay) for iteration in range(5)]
    assert factors == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_beyond_the_last_iteration_the_floor_stays(shape: Any) -> None:
    assert decay_factor(9, 5, DecayConfig(shape=shape, floor=0.2)) == pytest.approx(0.2)


def coefficients(config: KLCoefficient, divergences: list[float]) -> list[float]:
    found = [first_coefficient(config)]
    for updates, kl in enumerate(divergences, start=1):
        found.append(next_coefficient(config, found[-1], kl, updates, policy_steps=updates))
    return found


def test_a_number_stays() -> None:
    assert coefficients(0.01, [1.0, 2.0]) == [0.01, 0.01, 0.01]


def test_a_schedule_goes_evenly_to_its_end_and_stays() -> None:
    schedule = KLScheduleConfig(start=0.3, end=0.1, iterations=2)
    assert coefficients(schedule, [1.0] * 3) == pytest.approx([0.3, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.1, 1.0), (0.15, 1.05), (0.2, 1.1), (9.0, 1.1), (0.05, 0.95), (0.0, 0.9)]
)
def test_a_target_is_approached_by_a_bounded_share(kl: float, factor: float) -> None:
    assert coefficients(TARGET, [kl])[1] == pytest.approx(0.02 * factor)


def test_a_target_waits_while_the_value_learns_alone() -> None:
    assert next_coefficient(TARGET, 0.02, kl=0.0, updates=5, policy_steps=0) == 0.02
    assert next_coefficient(TARGET, 0.02, kl=0.0, updates=6, policy_steps=1) < 0.02


def test_the_learner_pulls_harder_while_the_policy_is_too_far(
    make_engine: MakeEngine, make_sequences: MakeSequences, tmp_path: Path
) -> None:
    target = {"target": 1e-6, "start": 0.02}
    engine = make_engine(kl_coefficient=target, learning_rate=5e-3)
    sequences = make_sequences(4)
    used = [engine.update(sequences)["kl_coefficient"] for _ in range(3)]
    # no divergence before the first step, then far too much
    assert used == pytest.approx([0.02, 0.018, 0.0198])
    engine.save(tmp_path)
    resumed = make_engine(kl_coefficient=target, learning_rate=5e-3)
    resumed.load(tmp_path)
    assert resumed.update(sequences) == engine.update(sequences)


def test_the_learners_rates_decay_over_the_iterations(
    make_engine: MakeEngine, make_sequences: MakeSequences
) -> None:
    engine = make_engine(
        learning_rate=1e-3, decay={"shape": "linear", "floor": 0.0}, minibatches=2, iterations=3
    )
    rates = [engine.update(make_sequences(4))["learning_rate"] for _ in range(3)]
    assert rates == pytest.approx([1e-3, 5e-4, 0.0])
