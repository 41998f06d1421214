"""Every user, prompt and label of a task, looked at once before anything starts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, get_args

import numpy as np

from curio_ray.dialogue import User
from curio_ray.errors import ConfigError
from curio_ray.plan.task_rules import (
    answer_problems,
    chat_problems,
    comparison_problems,
    reading_problems,
    sample_turns,
    text_problem,
    user_problems,
)
from curio_ray.plugins import cause_of
from curio_ray.tasks.base import Demonstration, Split, Task

_SHOWN = 8
_FAILED: Any = object()
_TOLD = "environment_prompt(user)"


def walk_task(task: Task, name: str) -> None:
    """Ask a task for all that a run will ask it for, but for what depends on what is said.

    Takes a few seconds for 100,000 users.

    Args:
        task: of a run.
        name: as the config has it.

    Raises:
        ConfigError: the task breaks a rule of `Task`; one line per rule names the first user.
    """
    walk = _Walk(task, name)
    if walk.types():
        for split in get_args(Split):
            walk.split(split)
        walk.splits_differ()
        walk.what_is_said()
    walk.end()


def walk_demonstrations(task: Task, name: str) -> None:
    """Look at every recorded conversation that a task has for a supervised start.

    Raises:
        ConfigError: as `walk_task`.
    """
    walk = _Walk(task, name)
    if walk.types():
        for split in get_args(Split):
            walk.demonstrations(split)
    walk.end()


class _Walk:
    """What is found on the way: the first problem of each rule, and how many users break it."""

    def __init__(self, task: Task, name: str) -> None:
        self.task = task
        self.name = name
        self.types_count = 0
        self.ids: dict[str, set[str]] = {}
        self._problems: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def types(self) -> bool:
        """Look at what the task says of itself; whether its users can be looked at."""
        types = getattr(self.task, "user_types", None)
        if isinstance(types, str) or not isinstance(types, Sequence) or len(types) < 2:
            self._say("user_types", f"user_types is {types!r}; write two or more names in a tuple")
            return False
        self.types_count = len(types)
        for each in types:
            self._say_if("user_types", "", text_problem("a name in user_types", each))
        if len(set(types)) < len(types):
            self._say("user_types", "user_types has a name twice; write each once")
        self._max_turns()
        self._readings()
        return True

    def split(self, split: Split) -> None:
        """Look at every user of a split, with all that is said to and about the user."""
        users = self._call("users", split)
        if users is _FAILED:
            return
        if isinstance(users, str | Mapping) or not isinstance(users, Sequence):
            kind = type(users).__name__
            self._say("users", f"users('{split}') gives a {kind}; give a list or tuple of User")
            return
        if not users:
            self._say("users", f"users('{split}') is empty; a run needs users of both splits")
        ids: set[str] = set()
        sound = True
        for number, user in enumerate(users):
            sound = self._user(user, f"users('{split}')[{number}]", ids) and sound
        self.ids[split] = ids
        if sound and list(users) != list(self._sequence("users", split)):
            self._say("users", f"users('{split}') differs from call to call; give the same users")

    def splits_differ(self) -> None:
        """Held-out users must be new."""
        both = set.intersection(*self.ids.values()) if len(self.ids) > 1 else set()
        if both:
            self._say(
                "splits",
                f"user '{min(both)}' is in both splits, as are {len(both) - 1} others; train and "
                "held_out must share no user",
            )

    def what_is_said(self) -> None:
        """Let the task judge a first turn, as it would any other."""
        if self._problems:
            return
        user, turns = self.task.users("train")[0], sample_turns()
        over = self._call("is_over", turns)
        if over not in (_FAILED, None, True, False):
            self._say("is_over", f"is_over(turns) gives {over!r}; give True or False")
        score = self._call("rule_score", user, turns)
        if score not in (_FAILED, None) and not _is_share(score):
            self._say("rule_score", f"rule_score(user, turns) gives {score!r}; give 0 to 1 or None")
        closing = self._call("closing_words")
        if closing is not _FAILED and not isinstance(closing, str):
            self._say("closing_words", f"closing_words() gives {closing!r}; give text")
        self._call("is_relevant", turns[0].text)
        self._call("contradicts_persona", user, turns[0].text)
        belief = self._call("exact_belief", user, (turns[0].text,))
        if belief is not _FAILED and belief is not None and np.shape(belief) != (self.types_count,):
            self._say(
                "exact_belief",
                f"exact_belief(user, questions) has the shape {np.shape(belief)}; give one "
                f"probability for each of the {self.types_count} user types, or None",
            )

    def demonstrations(self, split: Split) -> None:
        """Look at the recorded conversations of a split, and at the pairs of them."""
        recorded = self._sequence("demonstrations", split)
        pairs = self._sequence("preferences", split)
        for number, each in enumerate([*recorded, *chain.from_iterable(pairs)]):
            who = f"demonstrations('{split}')[{number}]"
            if not isinstance(each, Demonstration):
                self._say("demonstrations", f"{who} is a {type(each).__name__}; give Demonstration")
                continue
            for field, problem in user_problems(each.user, self.types_count):
                self._say(f"demonstrations.{field}", f"{who}: {problem}")
            if not each.utterances or isinstance(each.utterances, str):
                self._say("utterances", f"{who}: utterances holds no text; give a tuple of texts")
                continue
            for text in each.utterances:
                self._say_if("utterances", who, text_problem("an utterance", text))

    def end(self) -> None:
        """Raise if anything was found."""
        if not self._problems:
            return
        lines = []
        for rule, text in list(self._problems.items())[:_SHOWN]:
            more = self._counts[rule] - 1
            lines.append(f"task.name: {text}" + (f" (and {more} more)" if more else ""))
        raise ConfigError(f"the task '{self.name}' cannot work:\n  " + "\n  ".join(lines))

    def _max_turns(self) -> None:
        turns = getattr(self.task, "max_turns", None)
        try:
            positive = not isinstance(turns, bool) and operator.index(turns) >= 1  # type: ignore[arg-type]
        except TypeError:
            positive = False
        if not positive:
            self._say("max_turns", f"max_turns is {turns!r}; write a whole number, 1 or more")

    def _readings(self) -> None:
        """The prompts that are the same for all users."""
        count = self.types_count
        self._reading("user_model_prompt()", self._call("user_model_prompt"), count, exactly=True)
        in_order = self._call("user_model_prompt_in_order", range(count))
        if in_order is not None:
            self._reading("user_model_prompt_in_order(order)", in_order, count, exactly=True)
        for term, quality in self._mapping("quality_prompts").items():
            self._reading(f"quality_prompts()['{term}']", quality, 2)
        answer = self._call("policy_answer")
        if answer not in (_FAILED, None):
            for problem in answer_problems(answer, count):
                self._say("policy_answer", f"policy_answer(){problem}")

    def _reading(self, what: str, prompt: Any, labels: int, exactly: bool = False) -> None:
        if prompt is _FAILED:
            return
        for problem in reading_problems(prompt, labels, exactly):
            self._say(what, f"{what}{problem}")

    def _user(self, user: Any, place: str, ids: set[str]) -> bool:
        problems = list(user_problems(user, self.types_count))
        who = f"{place} '{user.id}'" if isinstance(user, User) else place
        for field, problem in problems:
            self._say(f"user.{field}", f"{who}: {problem}")
        if problems:
            return False
        if user.id in ids:
            self._say("user.id", f"{who}: another user of the split has this id; give each its own")
        ids.add(user.id)
        self._prompts(user, who)
        return True

    def _prompts(self, user: User, who: str) -> None:
        opening = self._call("opening", user, who=who)
        if opening is not _FAILED:
            self._say_if("opening", who, text_problem("opening(user)", opening))
        chat = self._call("policy_prompt", user, who=who)
        for problem in () if chat is _FAILED else chat_problems(chat, opening):
            self._say("policy_prompt", f"{who}: policy_prompt(user) {problem}")
        for person in _persons(user):
            told = self._call("environment_prompt", person, who=who)
            if told is not _FAILED:
                self._say_if("environment_prompt", who, text_problem(_TOLD, told))
            verdict = self._call("reward_model_prompt", person, who=who)
            for problem in () if verdict is _FAILED else reading_problems(verdict, 2):
                self._say("reward_model_prompt", f"{who}: reward_model_prompt(user){problem}")
        for name, prompt in self._mapping("comparison_prompts", user, who=who).items():
            for problem in comparison_problems(prompt):
                place = f"{who}: comparison_prompts(user)['{name}']"
                self._say("comparison_prompts", f"{place}{problem}")

    def _mapping(self, method: str, *arguments: Any, who: str = "") -> Mapping[str, Any]:
        given = self._call(method, *arguments, who=who)
        if given is _FAILED or isinstance(given, Mapping):
            return {} if given is _FAILED else given
        self._say(
            method, f"{method} gives a {type(given).__name__}; give a dict of prompts by name"
        )
        return {}

    def _sequence(self, method: str, split: Split) -> Sequence[Any]:
        given = self._call(method, split)
        if given is _FAILED or isinstance(given, Sequence):
            return () if given is _FAILED else given
        self._say(method, f"{method}('{split}') gives a {type(given).__name__}; give a list")
        return ()

    def _call(self, method: str, *arguments: Any, who: str = "") -> Any:
        """What a method gives, or `_FAILED` where it raises, which is noted."""
        function: Callable[..., Any] = getattr(self.task, method)
        try:
            return function(*arguments)
        except ConfigError:
            raise
        # the task is the user's, and may raise anything
        except Exception as error:  # noqa: BLE001
            place = f"{who}: " if who else ""
            self._say(method, f"{place}{method} fails: {cause_of(error)}")
            return _FAILED

    def _say_if(self, rule: str, who: str, problem: str | None) -> None:
        if problem is not None:
            self._say(rule, f"{who}: {problem}" if who else problem)

    def _say(self, rule: str, text: str) -> None:
        self._problems.setdefault(rule, text)
        self._counts[rule] = self._counts.get(rule, 0) + 1


def _persons(user: User) -> Iterator[User]:
    yield user.at(0)
    for change in user.changes:
        yield user.at(change.after)


def _is_share(score: Any) -> bool:
    try:
        return math.isfinite(score) and 0 <= score <= 1
    except TypeError:
        return False
