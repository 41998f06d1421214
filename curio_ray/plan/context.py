"""How long the context of each role can become: an upper bound in tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import get_args

from curio_ray.config.servers import RolesConfig
from curio_ray.dialogue import User
from curio_ray.tasks.base import ReadingPrompt, Split, Task

# What a chat template puts around a message, and a transcript around an utterance.
_MARKS = 6
# Users of each split whose prompts are looked at, and how many of the longest are counted.
_CONSIDERED_USERS = 4096
_COUNTED = 64

CountTokens = Callable[[str], int]


def token_counter(folder: Path | None) -> CountTokens | None:
    """A counter with the model's own tokenizer, or None where it has no fast one on disk."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def longest_context(role: str, task: Task, roles: RolesConfig, count: CountTokens) -> int:
    """Upper bound on the tokens that the role's server sees in one request, answer included.

    The bound takes every sampled message at its `max_tokens`, and the longest prompts of the first
    `_CONSIDERED_USERS` users of each split.
    """
    return _said(task, roles, count) + max(_prompt(role, task, count))


def longest_comparison(task: Task, roles: RolesConfig, count: CountTokens) -> int:
    """The same bound for a judge who reads two dialogues; the task must tell how to compare."""
    users = _considered_users(task)
    openings = _longest([[task.opening(user)] for user in users])
    opening = max(count(text) for (text,) in openings) + _MARKS
    prompts = {prompt for user in users for prompt in task.comparison_prompts(user).values()}
    texts = _longest((each.instruction, *each.headings, each.question) for each in prompts)
    names = {name for each in prompts for name in (each.policy_name, each.user_name)}
    lines = (2 * task.max_turns + 1) * max(count(f"{name}:") for name in names)
    around = max(sum(count(text) for text in parts) for parts in texts) + 4 * _MARKS
    return around + 2 * (_said(task, roles, count) + opening + lines)


def _said(task: Task, roles: RolesConfig, count: CountTokens) -> int:
    exchange = roles.policy.max_tokens + roles.environment.max_tokens + 2 * _MARKS
    announced = _longest(
        [change.announcement for change in user.changes] for user in _considered_users(task)
    )
    added = max(sum(count(text) for text in texts) for texts in announced)
    return task.max_turns * exchange + count(task.closing_words()) + added


def _considered_users(task: Task) -> list[User]:
    return [
        user for split in get_args(Split) for user in islice(task.users(split), _CONSIDERED_USERS)
    ]


def _prompt(role: str, task: Task, count: CountTokens) -> list[int]:
    users = _considered_users(task)
    if role == "policy":
        chats = [[each.content for each in task.policy_prompt(user)] for user in users]
        return [sum(count(text) + _MARKS for text in chat) for chat in _longest(chats)]
    if role == "environment":
        chats = [
            [task.environment_prompt(person), task.opening(user)]
            for user in users
            for person in (user.at(0), *(user.at(change.after) for change in user.changes))
        ]
        return [sum(count(text) + _MARKS for text in chat) for chat in _longest(chats)]
    openings = _longest([[task.opening(user)] for user in users])
    opening = max(count(text) for (text,) in openings) + _MARKS
    readings = (
        [task.user_model_prompt()]
        if role == "user_model"
        else [
            *_longest_readings(task.reward_model_prompt(user) for user in users),
            *task.quality_prompts().values(),
        ]
    )
    return [opening + _reading(prompt, task.max_turns, count) for prompt in readings]


def _longest(texts: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Those with the most characters, each once: counting tokens takes longer than letters."""
    different = dict.fromkeys(map(tuple, texts))
    return sorted(different, key=lambda parts: -sum(map(len, parts)))[:_COUNTED]


def _longest_readings(prompts: Iterable[ReadingPrompt]) -> list[ReadingPrompt]:
    different = dict.fromkeys(prompts)
    return sorted(different, key=lambda prompt: -len(prompt.instruction + prompt.question))[
        :_COUNTED
    ]


def _reading(prompt: ReadingPrompt, turns: int, count: CountTokens) -> int:
    names = (turns + 1) * (count(f"{prompt.policy_name}:") + count(f"{prompt.user_name}:"))
    return count(prompt.instruction) + count(prompt.question) + names + 2 * _MARKS + 1


_CHARACTERS_PER_TOKEN = 3.0


def estimate_tokens(text: str) -> int:
    """Tokens of an English text, rather too many: tokenizers need one per four characters or so.

    A word or mark that stands alone is at least one token.
    """
    return max(len(text.split()), math.ceil(len(text) / _CHARACTERS_PER_TOKEN))
