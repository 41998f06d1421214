"""Users whom nobody can talk with stay in an evaluation, as no success."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from made_dialogues import made
from shared_servers import Running

from curio_ray.dialogue import Dialogue, User
from curio_ray.errors import RolloutError
from curio_ray.evaluation.collect import collect_evaluation
from curio_ray.evaluation.intervals import wilson_interval
from curio_ray.evaluation.judge import Pairs
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.rollout.failures import Failure
from curio_ray.rollout.runner import LocalRunners, RolloutBatch
from curio_ray.tasks.exercise.task import ExerciseTask

USERS = 8


class LongWinded(ExerciseTask):
    """Every second held-out user has a persona that no pocket model can read."""

    every = 2

    def environment_prompt(self, user: User) -> str:
        prompt = super().environment_prompt(user)
        late = user.id.startswith("held") and int(user.id.split("-")[-1]) % self.every == 0
        return prompt + " sleep good ." * 400 if late else prompt


class NobodyReadable(LongWinded):
    """No held-out user can be talked with."""

    every = 1


@dataclass
class Evaluated:
    """What an evaluation brought."""

    batch: RolloutBatch
    figures: dict


def evaluate(running: Running, task: ExerciseTask) -> Evaluated:
    config = running.config
    with contextlib.closing(LocalRunners(config, task)) as runners:
        runners.connect(running.servers.handles())
        batch = collect_evaluation(runners, task, config, USERS, seed=0)
    alarms = config.evaluation.alarms
    figures = evaluation_metrics(batch.dialogues, task, alarms, 0, failures=batch.failures)
    return Evaluated(batch, figures)


@pytest.fixture(scope="module")
def evaluated(shared_servers: Callable[..., Running]) -> Evaluated:
    return evaluate(shared_servers(), LongWinded(seed=0))


def test_users_who_cannot_be_talked_with_are_in_n(evaluated):
    assert len(evaluated.batch.failures) == USERS // 2
    assert evaluated.figures["held_out/users"] == USERS


def test_they_are_no_success_also_in_the_interval(evaluated):
    won = sum(each.success for each in evaluated.batch.dialogues)
    assert evaluated.figures["held_out/success"] == pytest.approx(won / USERS)
    assert evaluated.figures["held_out/success_interval"] == list(wilson_interval(won, USERS))
    assert evaluated.figures["held_out/success_by_turn"][-1] == pytest.approx(won / USERS)


def test_their_types_have_them_among_their_users(evaluated):
    task, batch = LongWinded(seed=0), evaluated.batch
    everyone = [each.user for each in (*batch.dialogues, *batch.failures)]
    index = batch.failures[0].user.type_index
    won = sum(each.success for each in batch.dialogues if each.user.type_index == index)
    share = won / sum(each.type_index == index for each in everyone)
    name = task.user_types[index]
    assert evaluated.figures[f"held_out/success_by_type/{name}"] == pytest.approx(share)


def test_they_are_counted_by_reason(evaluated):
    assert evaluated.figures["held_out/failed_share"] == 0.5
    assert evaluated.figures["held_out/failed_dialogues/reason/context"] == USERS // 2


def test_an_evaluation_with_nobody_is_an_error_that_names_user_type_and_reason(shared_servers):
    with pytest.raises(RolloutError, match=r"none of 8 held-out.*\(\w+\).*max_model_len"):
        evaluate(shared_servers(), NobodyReadable(seed=0))


def dialogue_of(user: User) -> Dialogue:
    dialogue = made()
    dialogue.user = user
    return dialogue


def batch_of(held: list[User], lost: list[User]) -> RolloutBatch:
    failures = [Failure("d", user, "server", "on purpose") for user in lost]
    return RolloutBatch([dialogue_of(each) for each in held], failures)


def test_in_a_comparison_who_could_not_talk_loses():
    users = [User(str(number), 0, {}) for number in range(4)]
    first = batch_of([users[0], users[1]], [users[2], users[3]])
    second = batch_of([users[0], users[2]], [users[1], users[3]])
    pairs = Pairs.of(first, second, users)
    assert [each.user.id for each in pairs.first] == ["0"]
    np.testing.assert_array_equal(pairs.undecided, [[1, 1], [0, 0], [0.5, 0.5]])
