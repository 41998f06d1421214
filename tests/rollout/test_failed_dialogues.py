"""Which dialogues fail, which do not, how often they are tried, and how they are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from curio_ray.dialogue import SILENCE, Dialogue
from curio_ray.errors import ContextError, ReplicaLostError, ServerError
from curio_ray.evaluation.measures import turn_shares
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.roles.roles import Roles
from curio_ray.rollout.failures import Failure, describe, failure_kind, failure_metrics
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.tasks.exercise.task import ExerciseTask


class FaultyClient:
    """A client that makes faults: says nothing but the end mark, or raises an error."""

    def __init__(self, real, end: int, error: Exception | None = None, faults: int = 10**6) -> None:
        self._real, self._end, self._error, self._left = real, end, error, faults
        self.asked = 0

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        self.asked += 1
        self._left -= 1
        if self._left < 0 or request.label_ids is not None:
            return await self._real.generate(request, routing_key)
        if self._error is not None:
            raise self._error
        return GenerateResult([self._end], [-3.0], [0], finish_reason="stop")


class LongWinded(ExerciseTask):
    """The second user has a persona that no pocket model can read."""

    def environment_prompt(self, user):
        prompt = super().environment_prompt(user)
        return prompt + " sleep good ." * 400 if user.id == self.users("train")[1].id else prompt


def faulty(role: str, error: Exception | None = None, faults: int = 10**6) -> Callable:
    """Gives one role a client that makes faults; `made` has it afterwards."""
    made: list[FaultyClient] = []

    def change(roles: Roles) -> Roles:
        model = getattr(roles, role)
        chat = roles.policy.chat if role == "policy" else model.form
        made.append(FaultyClient(model.client, chat.stop_token_ids[0], error, faults))
        return replace(roles, **{role: replace(model, client=made[-1])})

    change.made = made
    return change


def with_role(roles: Roles, **changes: object) -> EnvironmentModel:
    """The environment with another section `roles.environment`."""
    model = roles.environment
    return replace(model, role=model.role.model_copy(update=changes))


def unrandom(change: Callable[[Roles], Roles]) -> Callable[[Roles], Roles]:
    """The same with a simulated user at temperature 0."""

    def both(roles: Roles) -> Roles:
        roles = change(roles)
        return replace(roles, environment=with_role(roles, temperature=0.0))

    return both


@pytest.fixture(scope="module")
def silent_user(rollouts) -> RolloutBatch:
    return rollouts.hold_with(faulty("environment"), rollouts.assignments(4), rollouts.options())


@pytest.fixture(scope="module")
def silent_policy(rollouts) -> RolloutBatch:
    return rollouts.hold_with(faulty("policy"), rollouts.assignments(4), rollouts.options())


def turns_of(batch: RolloutBatch, speaker: str) -> list:
    return [turn for each in batch.dialogues for turn in each.turns if turn.speaker == speaker]


def test_a_user_who_says_nothing_ends_no_dialogue(silent_user):
    assert (len(silent_user.dialogues), silent_user.retries) == (4, 0)


def test_a_silent_reply_is_heard_as_three_dots(silent_user):
    assert {turn.text for turn in turns_of(silent_user, "user")} == {SILENCE}


def test_the_policy_reads_a_silent_reply_as_three_dots(silent_user, rollouts):
    dialogue: Dialogue = silent_user.dialogues[0]
    chat = rollouts.chat()
    suffix = chat.reply_suffix(dialogue.turns[0].token_ids, SILENCE)
    assert dialogue.turns[1].token_ids == suffix


def test_silent_replies_are_counted(silent_user):
    assert all(turn.empty for turn in turns_of(silent_user, "user"))
    shares = turn_shares(silent_user.dialogues)
    assert (shares["empty_turns/user"], shares["empty_turns/policy"]) == (1.0, 0.0)


def test_a_silent_policy_keeps_the_ids_that_it_sampled(silent_policy):
    assert {len(turn.token_ids) for turn in turns_of(silent_policy, "policy")} == {1}
    assert {turn.text for turn in turns_of(silent_policy, "policy")} == {SILENCE}
    assert turn_shares(silent_policy.dialogues)["empty_turns/policy"] == 1.0


def test_turns_that_end_at_their_end_mark_are_not_truncated(rollouts):
    batch = rollouts.hold(rollouts.assignments(8), rollouts.options())
    assert {turn.finish_reason for each in batch.dialogues for turn in each.turns} == {"stop"}


def test_turns_cut_off_at_max_tokens_are_kept_and_counted(rollouts):
    def short(roles: Roles) -> Roles:
        return replace(
            roles,
            policy=replace(roles.policy, max_tokens=1),
            environment=with_role(roles, max_tokens=1),
        )

    batch = rollouts.hold_with(short, rollouts.assignments(4), rollouts.options())
    assert all(turn.truncated for turn in turns_of(batch, "policy"))
    shares = turn_shares(batch.dialogues)
    assert shares["truncated_share"] > 0.9
    assert shares["truncated_turns/user"] > 0.9


def test_a_prompt_that_is_too_long_is_not_tried_again(rollouts):
    long = replace(rollouts, task=LongWinded(seed=0))
    batch = long.hold(long.assignments(3), long.options(attempts=3))
    [failure] = batch.failures
    assert (failure.kind, failure.attempts, batch.retries) == ("context", 1, 0)
    assert failure.user.id == long.task.users("train")[1].id
    assert "servers.frozen.max_model_len" in failure.reason


def test_where_nothing_is_random_the_same_request_is_not_sent_again(rollouts):
    change = unrandom(faulty("environment", ServerError("refused on purpose")))
    options = rollouts.options(temperature=0.0, attempts=3)
    [failure] = rollouts.hold_with(change, rollouts.assignments(1), options).failures
    assert (failure.kind, failure.attempts) == ("server", 1)


def test_where_nothing_is_random_a_lost_server_is_worth_another_try(rollouts):
    change = unrandom(faulty("environment", ReplicaLostError("lost on purpose"), faults=1))
    options = rollouts.options(temperature=0.0, attempts=3)
    batch = rollouts.hold_with(change, rollouts.assignments(1), options)
    assert [each.attempts for each in batch.dialogues] == [2]


def test_where_somebody_draws_another_try_is_another_dialogue(rollouts):
    change = unrandom(faulty("environment", ServerError("refused on purpose")))
    options = rollouts.options(temperature=1.0, attempts=3)
    [failure] = rollouts.hold_with(change, rollouts.assignments(1), options).failures
    assert failure.attempts == 3


def failure_of(user, kind="server") -> Failure:
    return Failure("d", user, kind, "failed on purpose")


def test_failures_are_counted_by_reason_and_by_the_users_type(rollouts):
    types = rollouts.task.user_types
    users = rollouts.task.users("train")[:3]
    failures = [
        failure_of(users[0]),
        failure_of(users[1], "context"),
        failure_of(users[2], "group"),
    ]
    metrics = failure_metrics(failures, held=5, user_types=types)
    assert metrics["failed_share"] == 2 / 8
    assert metrics["failed_dialogues/reason/server"] == 1
    assert metrics["failed_dialogues/reason/context"] == 1
    assert sum(v for k, v in metrics.items() if k.startswith("failed_dialogues/type/")) == 2
    assert metrics[f"failed_dialogues/type/{types[users[0].type_index]}"] >= 1


def test_of_several_errors_the_one_that_no_other_try_mends_counts():
    assert failure_kind([ServerError("a"), ContextError("b")]) == "context"


def test_users_whose_place_others_take_are_named_with_type_and_reason(rollouts):
    types = rollouts.task.user_types
    users = rollouts.task.users("train")[:5]
    told = describe([failure_of(each) for each in users], types)
    first = users[0]
    assert told.startswith(f"user {first.id} ({types[first.type_index]}): failed on purpose; ")
    assert told.endswith("; and 2 more")
