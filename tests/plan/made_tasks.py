"""A small task that keeps every rule, for tests that break one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from curio_ray.dialogue import Change, Turn, User
from curio_ray.errors import ConfigError
from curio_ray.plan.task_walk import walk_task
from curio_ray.tasks.base import (
    ComparisonPrompt,
    Demonstration,
    Message,
    ReadingPrompt,
    Split,
    Task,
)

PLACES = ("sea", "hills")


class TravelTask(Task):
    """An agent finds out whether a traveller is drawn to the sea or to the hills."""

    user_types = PLACES
    max_turns = 2

    def __init__(self, seed: int = 0, travellers: int = 4) -> None:
        self.travellers = travellers
        self.seed = seed

    def users(self, split: Split) -> Sequence[User]:
        return [self.user(split, number) for number in range(self.travellers)]

    def user(self, split: Split, number: int) -> User:
        """One of them; every second changes."""
        persona = {"drawn to": PLACES[number % 2]}
        other = {"drawn to": PLACES[1 - number % 2]}
        changes = (Change(1, 1 - number % 2, other, "on second thoughts"),) if number % 2 else ()
        return User(f"{split}-{number}", number % 2, persona, changes)

    def opening(self, user: User) -> str:
        return "Where shall I go?"

    def policy_prompt(self, user: User) -> list[Message]:
        return [Message("system", "Ask, then advise."), Message("user", self.opening(user))]

    def environment_prompt(self, user: User) -> str:
        return f"You are drawn to the {user.persona['drawn to']}."

    def user_model_prompt(self) -> ReadingPrompt:
        return ReadingPrompt("Read.", "Agent", "Traveller", "Where to?", PLACES)

    def reward_model_prompt(self, user: User) -> ReadingPrompt:
        return ReadingPrompt("Read.", "Agent", "Traveller", "Was it right?", ("no", "yes"))

    def comparison_prompts(self, user: User) -> dict[str, ComparisonPrompt]:
        heads, labels = ("First:", "Second:"), ("1", "2")
        prompt = ComparisonPrompt("Compare.", heads, "Agent", "Traveller", "Which?", labels)
        return {"better": prompt}

    def is_over(self, turns: Sequence[Turn]) -> bool:
        return "go to" in turns[-1].text

    def rule_score(self, user: User, turns: Sequence[Turn]) -> float:
        return float(PLACES[user.type_index] in turns[-1].text)

    def demonstrations(self, split: Split) -> Sequence[Demonstration]:
        return [Demonstration(user, ("Do you swim?", "Daily.")) for user in self.users(split)]


def said(task: TravelTask) -> str:
    """What the walk says of a task that breaks a rule."""
    with pytest.raises(ConfigError) as refused:
        walk_task(task, "travel:TravelTask")
    return str(refused.value)


def with_method(name: str, given: Any) -> TravelTask:
    """A task with another method: a function, or a value that it always gives."""
    task = TravelTask()
    setattr(task, name, given if callable(given) else lambda *arguments: given)
    return task


def raising(error: Exception) -> Any:
    """A method that fails."""

    def method(*arguments: Any) -> None:
        raise error

    return method
