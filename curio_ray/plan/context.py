"""How long the context of each role can become: an upper bound in tokens, over every user."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from curio_ray.config.servers import RolesConfig
from curio_ray.dialogue import User
from curio_ray.tasks.base import ReadingPrompt, Split, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What a chat template puts around a message, and a transcript around an utterance.
_MARKS = 6
# Of the prompts that fit by their bytes, the longest are counted all the same.
_COUNTED = 64
_TOGETHER = 4096
_CHARACTERS_PER_TOKEN = 3.0

CountTokens = Callable[[str], int]


class TokenCounter:
    """Counts tokens with a model's own tokenizer; marks in a text are ordinary text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True

    def __call__(self, text: str) -> int:
        """The tokens of one text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def many(self, texts: list[str]) -> list[int]:
        """The tokens of each text, on all cores."""
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(each.ids) for each in encoded]


def token_counter(folder: Path | None) -> TokenCounter | None:
    """A counter with the model's own tokenizer, or None where it has no fast one on disk."""
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    return TokenCounter(Tokenizer.from_file(str(folder / "tokenizer.json")))


def estimate_tokens(text: str) -> int:
    """Tokens of an English text, rather too many: tokenizers need one per four characters or so.

    A word or mark that stands alone is at least one token.
    """
    return max(len(text.split()), math.ceil(len(text) / _CHARACTERS_PER_TOKEN))


@dataclass(frozen=True, slots=True)
class LongestContext:
    """The tokens of a longest request, and the users with whom a request may not fit."""

    tokens: int
    too_long: tuple[User, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a role reads of a user: its own texts, and tokens that are there besides."""

    user: User
    texts: tuple[str, ...]
    besides: int = 0


def longest_context(
    role: str, task: Task, roles: RolesConfig, count: CountTokens, allowed: int | None = None
) -> LongestContext:
    """Upper bound on the tokens that the role's server sees in one request, answer included.

    The bound takes every sampled message at its `max_tokens`, and every user of both splits.

    Args:
        role: whose server.
        task: the run's.
        roles: with the most tokens of a message.
        count: the tokens of a text, of which each is a byte or more.
        allowed: the tokens that fit into the server's context; None where nobody knows.
    """
    said = _said(task, roles, count)
    prompts = _prompts(role, task, count)
    longest = longest_prompt(prompts, count, None if allowed is None else allowed - said)
    return LongestContext(said + longest.tokens, longest.too_long)


def longest_comparison(
    task: Task, roles: RolesConfig, count: CountTokens, allowed: int | None = None
) -> LongestContext:
    """The same bound for a judge who reads two dialogues; the task must tell how to compare."""
    said = 2 * _said(task, roles, count)
    lines = 2 * task.max_turns + 1

    def prompts() -> Iterator[Prompt]:
        for user in everyone(task):
            opening = task.opening(user)
            for each in task.comparison_prompts(user).values():
                names = max(count(f"{name}:") for name in (each.policy_name, each.user_name))
                texts = (each.instruction, *each.headings, each.question, opening, opening)
                yield Prompt(user, texts, lines * names + 6 * _MARKS)

    longest = longest_prompt(prompts(), count, None if allowed is None else allowed - said)
    return LongestContext(said + longest.tokens, longest.too_long)


def everyone(task: Task) -> Iterator[User]:
    """The users of both splits."""
    for split in get_args(Split):
        yield from task.users(split)


def longest_prompt(
    prompts: Iterable[Prompt], count: CountTokens, room: int | None
) -> LongestContext:
    """The most tokens of a prompt, and the users whose prompt exceeds the room.

    A token is a byte or more. So what fits by its bytes fits, and of it only the longest are
    counted.
    """
    users: dict[tuple[tuple[str, ...], int], list[User]] = {}
    places: dict[str, int] = {}
    for prompt in prompts:
        users.setdefault((prompt.texts, prompt.besides), []).append(prompt.user)
        places.setdefault(prompt.user.id, len(places))
    bound = {key: key[1] + sum(map(_bytes, key[0])) for key in users}
    by_length = sorted(users, key=lambda key: -bound[key])
    counted = [
        key
        for number, key in enumerate(by_length)
        if number < _COUNTED or (room is not None and bound[key] > room)
    ]
    tokens = _count_all({text for texts, _ in counted for text in texts}, count)
    needed = {key: key[1] + sum(tokens[text] for text in key[0]) for key in counted}
    beyond = [key for key in counted if room is not None and needed[key] > room]
    found = {user.id: user for key in beyond for user in users[key]}
    in_order = sorted(found.values(), key=lambda user: places[user.id])
    return LongestContext(max(needed.values()), tuple(in_order))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _count_all(texts: Iterable[str], count: CountTokens) -> dict[str, int]:
    every = list(texts)
    if not isinstance(count, TokenCounter):
        return {text: count(text) for text in every}
    counts: dict[str, int] = {}
    for start in range(0, len(every), _TOGETHER):
        part = every[start : start + _TOGETHER]
        counts |= zip(part, count.many(part), strict=True)
    return counts


def _said(task: Task, roles: RolesConfig, count: CountTokens) -> int:
    """Tokens of all that is said, each message at its most."""
    exchange = roles.policy.max_tokens + roles.environment.max_tokens + 2 * _MARKS
    announced = {tuple(change.announcement for change in user.changes) for user in everyone(task)}
    tokens = _count_all({text for texts in announced for text in texts}, count)
    added = max(sum(tokens[text] for text in texts) for texts in announced)
    return task.max_turns * exchange + count(task.closing_words()) + added


def _prompts(role: str, task: Task, count: CountTokens) -> Iterator[Prompt]:
    if role == "policy":
        for user in everyone(task):
            texts = tuple(each.content for each in task.policy_prompt(user))
            yield Prompt(user, texts, len(texts) * _MARKS)
    elif role == "environment":
        for user in everyone(task):
            for person in (user.at(0), *(user.at(change.after) for change in user.changes)):
                texts = (task.environment_prompt(person), task.opening(user))
                yield Prompt(user, texts, 2 * _MARKS)
    else:
        yield from _readings(role, task, count)


def _readings(role: str, task: Task, count: CountTokens) -> Iterator[Prompt]:
    shared = [task.user_model_prompt()] if role == "user_model" else []
    if role == "reward_model":
        shared = list(task.quality_prompts().values())
    besides: dict[tuple[str, str], int] = {}

    def reading(user: User, prompt: ReadingPrompt) -> Prompt:
        names = (prompt.policy_name, prompt.user_name)
        if names not in besides:
            lines = (task.max_turns + 1) * sum(count(f"{name}:") for name in names)
            besides[names] = lines + 3 * _MARKS + 1
        texts = (prompt.instruction, prompt.question, task.opening(user))
        return Prompt(user, texts, besides[names])

    for user in everyone(task):
        yield from (reading(user, prompt) for prompt in shared)
        if role == "reward_model":
            yield reading(user, task.reward_model_prompt(user))
