"""A plan looks at every user, prompt and label of a task, and names who breaks a rule."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_tasks import PLACES, TravelTask, raising, said, with_method

from curio_ray.dialogue import Change, User
from curio_ray.errors import ConfigError
from curio_ray.plan.task_walk import walk_demonstrations, walk_task
from curio_ray.tasks.base import Demonstration


def with_last(**fields: Any) -> TravelTask:
    """A task whose last held-out user has other fields."""
    task = TravelTask()
    users = list(task.users("held_out"))
    users[-1] = replace(users[-1], **fields)
    everyone = {"train": task.users("train"), "held_out": users}
    task.users = everyone.__getitem__  # type: ignore[method-assign]
    return task


def test_a_task_that_keeps_the_rules_is_taken() -> None:
    walk_task(TravelTask(), "travel:TravelTask")
    walk_demonstrations(TravelTask(), "travel:TravelTask")


FINE = {
    "an index of numpy": {"type_index": np.int64(1)},
    "an attribute that is not known": {"persona": {"drawn to": "sea", "age": None}},
    "no attributes but the one": {"persona": {"drawn to": "sea"}},
    "words of any language": {"persona": {"drawn to": "sea", "name": "Jürgen 海 🏖"}},
}


@pytest.mark.parametrize("case", FINE)
def test_a_user_that_can_be_spoken_as_and_written_is_taken(case: str) -> None:
    walk_task(with_last(**FINE[case]), "travel:TravelTask")


WRONG_USERS = {
    "an id that is a number": ({"id": 3}, "id is 3 (int); give text"),
    "an empty id": ({"id": " "}, "id is empty; give words"),
    "an id that another has": ({"id": "held_out-0"}, "another user of the split has this id"),
    "an id of the other split": ({"id": "train-1"}, "user 'train-1' is in both splits"),
    "an index beyond the types": ({"type_index": 2}, "type_index is 2; give a whole number from 0"),
    "an index below 0": ({"type_index": -1}, "type_index is -1; give a whole number from 0 to 1"),
    "an index that is a float": ({"type_index": 1.0}, "type_index is 1.0; give a whole number"),
    "an index that is a name": ({"type_index": "sea"}, "type_index is 'sea'; give a whole number"),
    "an index that is a truth": ({"type_index": True}, "type_index is True; give a whole number"),
    "no index": ({"type_index": None}, "type_index is None; give a whole number"),
    "a persona that is text": ({"persona": "sea"}, "persona is 'sea' (str); give a dict of texts"),
    "a number in the persona": (
        {"persona": {"drawn to": "sea", "age": 41}},
        "persona['age'] is 41 (int); give text, such as '41'",
    ),
    "a truth in the persona": (
        {"persona": {"drawn to": "sea", "swims": True}},
        "persona['swims'] is True (bool); give text, such as 'True'",
    ),
    "a list in the persona": (
        {"persona": {"drawn to": "sea", "pets": ["cat"]}},
        "persona['pets'] is ['cat'] (list); give text",
    ),
    "a key that is a number": ({"persona": {"drawn to": "sea", 3: "x"}}, "persona has the key 3"),
    "half a character": (
        {"persona": {"drawn to": "sea", "mood": "\ud83d"}},
        "persona['mood'] has half a character (\\ud83d), which no file can hold",
    ),
    "changes that are none": ({"changes": ("later",)}, "changes[0] is 'later' (str); give"),
    "a change to no type": (
        {"changes": (Change(1, 9, {"drawn to": "sea"}),)},
        "changes[0].type_index is 9; give a whole number from 0 to 1",
    ),
    "a change with a number": (
        {"changes": (Change(1, 0, {"drawn to": 1}),)},  # type: ignore[dict-item]
        "changes[0].persona['drawn to'] is 1 (int)",
    ),
    "changes against time": (
        {"changes": (Change(2, 0, {"drawn to": "sea"}), Change(1, 1, {"drawn to": "hills"}))},
        "changes[1].after is 1; give changes in the order of time",
    ),
}


@pytest.mark.parametrize("case", WRONG_USERS)
def test_a_wrong_user_is_named_with_field_and_rule(case: str) -> None:
    fields, message = WRONG_USERS[case]
    text = said(with_last(**fields))
    assert message in text
    assert text.startswith("the task 'travel:TravelTask' cannot work:\n  task.name: ")
    assert "in both splits" in message or "users('held_out')[3]" in text


WRONG_SPLITS = {
    "a generator": (lambda split: (user for user in ()), "gives a generator; give a list or tuple"),
    "a dict": (lambda split: {"a": 1}, "gives a dict; give a list or tuple of User"),
    "nothing": (None, "users('train') gives a NoneType; give a list"),
    "an empty list": ([], "users('train') is empty; a run needs users of both splits"),
    "plain dicts": (
        [{"id": "a"}],
        "users('train')[0]: is {'id': 'a'} (dict); give curio_ray.dialog",
    ),
    "an error": (
        raising(FileNotFoundError("travellers.csv")),
        "users fails: FileNotFoundError: trav",
    ),
    "the same users twice": (
        TravelTask().users("train"),
        "user 'train-0' is in both splits, as are 3",
    ),
}


@pytest.mark.parametrize("case", WRONG_SPLITS)
def test_a_split_that_cannot_be_walked_is_named(case: str) -> None:
    users, message = WRONG_SPLITS[case]
    assert message in said(with_method("users", users))


def test_users_who_differ_from_call_to_call_are_refused() -> None:
    drawn = np.random.default_rng(0)

    def users(split: str) -> list[User]:
        return [
            User(f"{split}-{number}", int(kind), {"drawn to": PLACES[kind]})
            for number, kind in enumerate(drawn.integers(0, 2, 20))
        ]

    assert "users('train') differs from call to call" in said(with_method("users", users))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("user_types", (), "user_types is (); write two or more names in a tuple"),
        ("user_types", ("sea",), "user_types is ('sea',); write two or more names in a tuple"),
        ("user_types", "sea", "user_types is 'sea'; write two or more names in a tuple"),
        ("user_types", None, "user_types is None; write two or more names in a tuple"),
        ("user_types", {"sea", "hills"}, "write two or more names in a tuple"),
        ("user_types", ("sea", "sea"), "user_types has a name twice; write each once"),
        ("user_types", ("sea", 2), "a name in user_types is 2 (int); give text"),
        ("max_turns", 0, "max_turns is 0; write a whole number, 1 or more"),
        ("max_turns", -3, "max_turns is -3; write a whole number, 1 or more"),
        ("max_turns", 2.5, "max_turns is 2.5; write a whole number, 1 or more"),
        ("max_turns", "5", "max_turns is '5'; write a whole number, 1 or more"),
        ("max_turns", True, "max_turns is True; write a whole number, 1 or more"),
        ("max_turns", None, "max_turns is None; write a whole number, 1 or more"),
    ],
)
def test_what_a_task_says_of_itself_is_looked_at(name: str, value: Any, message: str) -> None:
    task = TravelTask()
    setattr(task, name, value)
    assert message in said(task)


def test_one_line_a_rule_says_how_many_users_break_it() -> None:
    task = with_method("environment_prompt", lambda user: "")
    assert said(task).count("environment_prompt(user) is empty") == 1
    assert "environment_prompt(user) is empty; give words (and 11 more)" in said(task)


def test_what_a_user_becomes_is_spoken_as_too() -> None:
    def told(user: User) -> str:
        return {"train-1": ""}.get(user.id, "x") if user.type_index == 0 else "x"

    text = said(with_method("environment_prompt", told))
    assert "users('train')[1] 'train-1': environment_prompt(user) is empty" in text


def test_a_failing_method_is_named_with_the_users_own_line() -> None:
    def opening(user: User) -> str:
        return user.persona["name"]

    text = said(with_method("opening", opening))
    assert f"opening fails: KeyError: 'name' ({__file__}, line " in text


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ([("hi", "ho")], "demonstrations('train')[0] is a tuple; give Demonstration"),
        ([Demonstration(User("a", 5, {}), ("x",))], "type_index is 5"),
        ([Demonstration(User("a", 0, {}), ())], "utterances holds no text; give a tuple of texts"),
        ([Demonstration(User("a", 0, {}), "hello")], "utterances holds no text"),  # type: ignore[arg-type]
        ([Demonstration(User("a", 0, {}), ("x", ""))], "an utterance is empty"),
        ([Demonstration(User("a", 0, {}), ("x", None))], "an utterance is None"),  # type: ignore[arg-type]
        (raising(OSError("lessons.json")), "demonstrations fails: OSError: lessons.json"),
        (7, "demonstrations('train') gives a int; give a list"),
    ],
)
def test_recorded_conversations_are_looked_at_before_a_supervised_start(
    recorded: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        walk_demonstrations(with_method("demonstrations", recorded), "travel:TravelTask")
    assert message in str(refused.value)


def test_a_hundred_thousand_users_take_seconds() -> None:
    task = TravelTask(travellers=50_000)
    task.users = {split: task.users(split) for split in ("train", "held_out")}.__getitem__  # type: ignore[method-assign]
    started = time.process_time()
    walk_task(task, "travel:TravelTask")
    assert time.process_time() - started < 20
