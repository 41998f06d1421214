"""Dialogues with real servers: order, tokens, beliefs, and what happens when a user fails."""

from collections import Counter

import numpy as np
import pytest

from curio_ray.config.training import StallConfig
from curio_ray.errors import RolloutError
from curio_ray.rewards.streams import TASK
from curio_ray.rollout.batches import collect_full_batch, make_assignments
from curio_ray.rollout.failures import Failure
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.tasks.exercise import words


def test_policy_and_user_alternate_and_the_policy_has_the_last_word(rollouts):
    for dialogue in rollouts.hold(rollouts.assignments(8), rollouts.options()).dialogues:
        speakers = [turn.speaker for turn in dialogue.turns]
        assert speakers == ["policy", "user"] * (len(speakers) // 2) + ["policy"]


def test_every_exchange_leaves_a_belief_over_all_types(rollouts):
    dialogue = rollouts.hold(rollouts.assignments(1), rollouts.options()).dialogues[0]
    beliefs = dialogue.beliefs()
    assert beliefs.shape == (len(dialogue.policy_turns) + 1, len(rollouts.task.user_types))
    np.testing.assert_allclose(beliefs.sum(axis=1), 1, atol=1e-9)


def test_only_the_last_turn_carries_the_task_reward(rollouts):
    dialogue = rollouts.hold(rollouts.assignments(1), rollouts.options()).dialogues[0]
    rewards = [turn.rewards[TASK] for turn in dialogue.policy_turns]
    assert rewards[:-1] == [0.0] * (len(rewards) - 1)
    assert rewards[-1] > 0


def test_the_reward_model_agrees_with_the_rule(rollouts):
    dialogues = rollouts.hold(rollouts.assignments(64), rollouts.options()).dialogues
    agree = [(each.policy_turns[-1].rewards[TASK] > 0.5) == each.success for each in dialogues]
    assert np.mean(agree) > 0.95


def test_the_same_seed_gives_the_same_dialogues(rollouts):
    first, second = (
        rollouts.hold(rollouts.assignments(8), rollouts.options()).dialogues for _ in range(2)
    )
    assert [each.token_ids for each in first] == [each.token_ids for each in second]


def test_a_user_that_fails_once_is_tried_again(rollouts):
    batch = rollouts.hold(rollouts.assignments(4), rollouts.options(), "raises", faults=1)
    assert batch.retries == 1
    assert [each.attempts for each in batch.dialogues] == [2, 1, 1, 1]


def test_a_user_that_keeps_failing_is_reported_with_the_reason(rollouts):
    batch = rollouts.hold(rollouts.assignments(4), rollouts.options(), "raises", faults=9)
    assert len(batch.dialogues) == 3
    assert "failed on purpose" in batch.failures[0].reason


def test_a_user_that_hangs_costs_one_deadline_and_no_other_dialogue(rollouts):
    options = rollouts.options(attempts=1, deadline_s=20)
    batch = rollouts.hold(rollouts.assignments(4), options, "hangs", faults=1)
    assert len(batch.dialogues) == 3
    assert "more than 20 s" in batch.failures[0].reason


class FailingRunners:
    """Loses the first `losses` dialogues that it is asked for."""

    def __init__(self, rollouts, losses: int) -> None:
        self._rollouts = rollouts
        self._losses = losses

    def collect(self, assignments, options) -> RolloutBatch:
        lost, held = assignments[: self._losses], assignments[self._losses :]
        self._losses -= len(lost)
        batch = self._rollouts.hold(held, options) if held else RolloutBatch()
        batch.failures = [
            Failure(each.dialogue_id, each.user, "role", "lost on purpose") for each in lost
        ]
        return batch


def draw_from(rollouts):
    everything = iter(rollouts.assignments(64))
    return lambda count: [next(everything) for _ in range(count)]


def test_a_batch_is_never_short(rollouts):
    runners = FailingRunners(rollouts, losses=3)
    batch = collect_full_batch(runners, draw_from(rollouts), 8, 1, rollouts.options())
    assert len({each.id for each in batch.dialogues}) == 8
    assert len(batch.failures) == 3


def test_a_group_with_a_failure_is_replaced_whole_and_counted(rollouts):
    runners = FailingRunners(rollouts, losses=1)
    users = iter(rollouts.task.users("train"))

    def draw(count):
        pairs = [user for _ in range(count // 2) for user in [next(users)] * 2]
        return make_assignments("train", pairs, 1000 * len(pairs), seed=3)

    batch = collect_full_batch(runners, draw, 8, 2, rollouts.options())
    group_sizes = Counter(each.user.id for each in batch.dialogues)
    assert set(group_sizes.values()) == {2}
    assert len(batch.failures) == 2


def test_a_batch_that_cannot_be_filled_is_an_error_with_the_reasons(rollouts):
    runners = FailingRunners(rollouts, losses=64)
    with pytest.raises(RolloutError, match=r"lost on purpose \(\d+ times\)"):
        collect_full_batch(runners, draw_from(rollouts), 8, 1, rollouts.options())


def test_a_stalled_dialogue_goes_on_to_the_policys_last_turn(rollouts):
    options = rollouts.options(stall=StallConfig(exchanges=2, change=1.0))
    for dialogue in rollouts.hold(rollouts.assignments(8), options).dialogues:
        assert dialogue.stalled
        assert [turn.speaker for turn in dialogue.turns] == ["policy", "user"] * 2 + ["policy"]
        assert dialogue.turns[3].text.endswith(words.CLOSING)


def test_until_it_stalls_a_dialogue_is_the_same(rollouts):
    whole = rollouts.hold(rollouts.assignments(4), rollouts.options()).dialogues
    options = rollouts.options(stall=StallConfig(exchanges=2, change=1.0))
    for cut, same in zip(
        rollouts.hold(rollouts.assignments(4), options).dialogues, whole, strict=True
    ):
        assert [turn.text for turn in cut.turns[:3]] == [turn.text for turn in same.turns[:3]]
        np.testing.assert_allclose(cut.beliefs()[:3], same.beliefs()[:3], atol=1e-6)
        assert not same.stalled


def test_an_exchange_that_moves_the_belief_keeps_the_dialogue_going(rollouts):
    options = rollouts.options(stall=StallConfig(exchanges=2, change=1e-9))
    dialogues = rollouts.hold(rollouts.assignments(16), options).dialogues
    assert not any(each.stalled for each in dialogues)
