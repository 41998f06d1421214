"""The plan looks at every user, however late it comes, and names those who do not fit."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.dialogue import Change, User
from curio_ray.errors import ConfigError
from curio_ray.plan import Machine, check_plan, make_plan
from curio_ray.plan.context import longest_context, token_counter
from curio_ray.plan.memory import GIB
from curio_ray.tasks.exercise.task import ExerciseTask

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
WORLD = Path(__file__).parents[2] / "curio_ray" / "pocket" / "assets" / "world"
MACHINE = Machine(cores=8, available_bytes=64 * GIB, gpus=0)
ROLES = load_config(POCKET).roles
LATE = 4500
MANY = 100_000


class LateLong(ExerciseTask):
    """All training users from number 4,500 on have a long persona."""

    longer = " sleep good ." * 200
    split = "train"

    def environment_prompt(self, user: User) -> str:
        prompt = super().environment_prompt(user)
        split, _, number = user.id.rpartition("-")
        return prompt + self.longer if split == self.split and int(number) >= LATE else prompt


class LateShortInLetters(LateLong):
    """Late users have fewer letters than others, and more tokens."""

    longer = " ☃" * 300

    def environment_prompt(self, user: User) -> str:
        prompt = super().environment_prompt(user)
        return prompt if "☃" in prompt else prompt + " sleep" * 120


class LastOfMany(ExerciseTask):
    """A hundred thousand users, each with words of its own; the last has many more."""

    @cached_property
    def _many(self) -> list[User]:
        some = super().users("train")
        return [User(f"train-{n:06d}", n % 8, some[n % len(some)].persona) for n in range(MANY)]

    def users(self, split):
        return self._many if split == "train" else super().users(split)

    def environment_prompt(self, user: User) -> str:
        last = user.id.endswith(str(MANY - 1))
        return f"{super().environment_prompt(user)} {user.id}" + " sleep good ." * 200 * last


def plan_of(task: str, *changes: str):
    users = "task.options.train_users=5000"
    return make_plan(load_config(POCKET, (f"task.name={task}", users, *changes)))


@pytest.mark.parametrize("task", ["LateLong", "LateShortInLetters"])
def test_users_beyond_the_first_thousands_are_refused_by_name_and_type(task):
    plan = plan_of(f"{__name__}:{task}")
    late = [user for user in plan.task.users("train") if int(user.id.split("-")[1]) >= LATE]
    with pytest.raises(ConfigError) as error:
        check_plan(plan, MACHINE)
    message = str(error.value)
    assert "servers.frozen.max_model_len: the environment's longest context" in message
    first = f"{late[0].id} ({plan.task.user_types[late[0].type_index]})"
    assert first in message
    assert f"{len(late)} users in all" in message


def test_the_number_that_the_plan_tells_to_write_is_enough():
    needed = plan_of(f"{__name__}:LateLong").contexts["environment"].tokens
    fits = plan_of(f"{__name__}:LateLong", f"servers.frozen.max_model_len={needed}")
    assert fits.contexts["environment"].too_long == ()
    assert fits.contexts["environment"].tokens == needed


def test_a_hundred_thousand_users_are_looked_at_in_seconds():
    task, count = LastOfMany(0, train_users=8), token_counter(WORLD)
    task.users("train")
    began = time.perf_counter()
    longest = longest_context("environment", task, ROLES, count, allowed=400)
    assert [user.id for user in longest.too_long] == [f"train-{MANY - 1:06d}"]
    assert time.perf_counter() - began < 60


def test_without_the_models_tokenizer_those_who_may_not_fit_are_named_in_a_warning(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plan = plan_of(f"{__name__}:LateLong", "servers.frozen.model=org/nowhere")
    [warning] = [each for each in plan.warnings if "may not fit" in each]
    assert warning.startswith("roles.environment: by estimate a dialogue may not fit, as with ")
    assert f"train-{LATE:05d} (" in warning
    assert "500 users in all" in warning


LONG = " sleep good ." * 200


class Varied(ExerciseTask):
    """The last user of a split makes one of a task's texts long; `kind` says which."""

    kind, split = "persona", "train"

    def users(self, split):
        users = list(EVERYONE[split])
        if split == self.split and self.kind in ("changed persona", "announcement"):
            last = users[-1]
            words = LONG if self.kind == "announcement" else ""
            change = Change(1, last.type_index, {**last.persona, "late": "yes"}, words)
            users[-1] = replace(last, changes=(change,))
        return users

    def long_if(self, kind: str, user: User) -> str:
        last = user.id == EVERYONE[self.split][-1].id
        return LONG if kind == self.kind and last else ""

    def environment_prompt(self, user):
        persona = {name: value for name, value in user.persona.items() if name != "late"}
        changed = LONG if self.kind == "changed persona" and persona != user.persona else ""
        prompt = super().environment_prompt(replace(user, persona=persona))
        return prompt + self.long_if("persona", user) + changed

    def opening(self, user):
        return super().opening(user) + self.long_if("opening", user)

    def policy_prompt(self, user):
        system, *rest = super().policy_prompt(user)
        longer = self.long_if("policy prompt", user)
        return [replace(system, content=system.content + longer), *rest]

    def reward_model_prompt(self, user):
        prompt = super().reward_model_prompt(user)
        return replace(prompt, instruction=prompt.instruction + self.long_if("verdict", user))


ONE_TASK = ExerciseTask(0, train_users=4200)
EVERYONE = {split: ONE_TASK.users(split) for split in ("train", "held_out")}


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize(
    ("kind", "reader"),
    [
        ("persona", "environment"),
        ("changed persona", "environment"),
        ("announcement", "environment"),
        ("opening", "environment"),
        ("opening", "user model"),
        ("policy prompt", "policy"),
        ("verdict", "reward model"),
    ],
)
def test_whatever_text_is_long_the_last_user_of_a_split_is_seen(kind, reader, split, monkeypatch):
    monkeypatch.setattr(Varied, "kind", kind)
    monkeypatch.setattr(Varied, "split", split)
    with pytest.raises(ConfigError) as error:
        check_plan(make_plan(load_config(POCKET, (f"task.name={__name__}:Varied",))), MACHINE)
    lines = [line for line in str(error.value).splitlines() if f"the {reader}'s longest" in line]
    assert len(lines) == 1
    if kind != "announcement":
        assert f"as with {EVERYONE[split][-1].id} (" in lines[0]
