"""The advantages of a batch: what has no signal, and the scale of what has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.advantages import Credit, RunningDeviation, batch_advantages

DENSE = (0.3, 0.2, 0.1, 1.0)
NOBODY_SUCCEEDS = (0.0, 0.0, 0.0, 3e-5)


def batch(
    paid: tuple[float, ...], noise: float = 0.0, users: int = 4, each: int = 4
) -> list[Dialogue]:
    """Dialogues of one reward per turn, some for each user, that differ by noise alone."""
    rng = np.random.default_rng(0)
    dialogues = []
    for index in range(users * each):
        turns = []
        for reward in paid:
            value = float(np.float32(reward + noise * rng.normal()))
            turns.append(Turn("policy", "?", [1], [-0.5], [0], rewards={"task": value}))
            turns.append(Turn("user", "!", [2]))
        user = User(f"user {index // each}", 0, {})
        dialogues.append(Dialogue(str(index), user, [0], turns[:-1], np.array([0.5, 0.5])))
    return dialogues


def credit_of(
    dialogues: list[Dialogue], running: RunningDeviation | None = None, **fields: Any
) -> Credit:
    config = CreditConfig(**{"estimator": "rloo", "group_size": 4} | fields)
    rng = np.random.default_rng(1)
    values = [rng.normal(0, 0.1, len(each.policy_turns)) for each in dialogues]
    return batch_advantages(dialogues, values, RewardsConfig(), config, running)


def set_returns(dialogues: list[Dialogue], last: list[float]) -> None:
    for dialogue, value in zip(dialogues, last, strict=True):
        dialogue.policy_turns[-1].rewards["task"] = value


@pytest.mark.parametrize("normalise", ["none", "mean", "mean_std"])
@pytest.mark.parametrize("estimator", ["rloo", "gae"])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("paid", [DENSE, NOBODY_SUCCEEDS])
def test_dialogues_that_differ_by_noise_teach_nothing(
    paid: tuple[float, ...], noise: float, estimator: str, normalise: str
) -> None:
    credit = credit_of(batch(paid, noise), estimator=estimator, normalise=normalise)
    assert not np.concatenate(credit.advantages).any()
    assert credit.metrics["no_signal_share"] == 1


def test_a_group_without_signal_teaches_nothing_beside_groups_that_have_one() -> None:
    dialogues = batch(DENSE)
    set_returns(dialogues[:4], [0.0, 1.0, 1.0, 1.0])
    credit = credit_of(dialogues)
    assert not np.concatenate(credit.advantages[4:]).any()
    assert (credit.advantages[0] < 0).all()
    assert all((each > 0).all() for each in credit.advantages[1:4])
    assert credit.metrics["no_signal_share"] == 0.75


def test_value_targets_go_on_where_there_is_no_signal() -> None:
    credit = credit_of(batch(DENSE), estimator="gae", gae_lambda=1.0)
    for each in credit.targets:
        np.testing.assert_allclose(each, [1.6, 1.3, 1.1, 1.0])


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [("none", [-1, 1 / 3, 1 / 3, 1 / 3]), ("mean", [-1, 1 / 3, 1 / 3, 1 / 3])],
)
def test_advantages_keep_their_scale_unless_it_is_taken(
    normalise: str, expected: list[float]
) -> None:
    dialogues = batch((0.0,), users=1)
    set_returns(dialogues, [0.0, 1.0, 1.0, 1.0])
    credit = credit_of(dialogues, normalise=normalise)
    np.testing.assert_allclose(np.concatenate(credit.advantages), expected)


def test_mean_takes_the_mean_off_over_all_turns() -> None:
    dialogues = batch((0.0, 1.0), noise=0.5)
    advantages = np.concatenate(credit_of(dialogues, estimator="gae", normalise="mean").advantages)
    raw = np.concatenate(credit_of(dialogues, estimator="gae", normalise="none").advantages)
    np.testing.assert_allclose(advantages, raw - raw.mean())


def test_mean_and_deviation_become_0_and_1_over_all_turns() -> None:
    credit = credit_of(batch((0.0, 1.0), noise=0.5), estimator="gae")
    flat = np.concatenate(credit.advantages)
    assert (flat.mean(), flat.std()) == pytest.approx((0, 1))


def test_a_batch_with_less_to_tell_than_the_ones_before_is_not_scaled_up() -> None:
    running = RunningDeviation()
    for _ in range(5):
        credit_of(batch(DENSE, noise=0.5), running)
    usual, weak = running.value, batch(DENSE, noise=0.005)
    flat = np.concatenate(credit_of(weak, running).advantages)
    raw = np.concatenate(credit_of(weak, normalise="none").advantages)
    np.testing.assert_allclose(flat, (raw - raw.mean()) / usual, rtol=1e-6)
    alone = np.concatenate(credit_of(weak, deviation_memory=0).advantages)
    assert alone.std() == pytest.approx(1)


def test_a_batch_without_signal_leaves_the_running_deviation_as_it_is() -> None:
    running = RunningDeviation()
    credit_of(batch(DENSE, noise=0.5), running)
    before = running.value
    credit_of(batch(DENSE, noise=1e-6), running)
    assert running.value == before > 0


def test_the_running_deviation_is_the_root_of_the_mean_variance_from_the_first_batch_on() -> None:
    running = RunningDeviation()
    running.update(3.0, memory=0.9)
    assert running.value == pytest.approx(3)
    running.update(4.0, memory=0.9)
    assert running.value == pytest.approx(np.sqrt((0.9 * 9 + 16) / 1.9))


def test_a_single_dialogue_is_compared_with_its_values() -> None:
    (dialogue,) = batch(DENSE, users=1, each=1)
    credit = credit_of([dialogue], estimator="gae", normalise="none")
    assert credit.advantages[0].all()
