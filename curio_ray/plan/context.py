"""How long the context of each role can become: an upper bound in tokens."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from curio_ray.config.servers import RolesConfig
from curio_ray.tasks.base import ReadingPrompt, Task

# What a chat template puts around a message, and a transcript around an utterance.
_MARKS = 6
_SAMPLED_USERS = 64

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

    The bound takes every sampled message at its `max_tokens`, and prompts from a sample of users.
    """
    said = task.max_turns * (roles.policy.max_tokens + _MARKS)
    said += task.max_turns * (roles.environment.max_tokens + _MARKS)
    return said + max(_prompt(role, task, count))


def _prompt(role: str, task: Task, count: CountTokens) -> list[int]:
    users = list(islice(task.users("train"), _SAMPLED_USERS))
    if role == "policy":
        return [
            sum(count(message.content) + _MARKS for message in task.policy_prompt(user))
            for user in users
        ]
    if role == "environment":
        return [
            count(task.environment_prompt(user)) + count(task.opening(user)) + 2 * _MARKS
            for user in users
        ]
    readings = (
        [task.user_model_prompt()]
        if role == "user_model"
        else [task.reward_model_prompt(user) for user in users]
    )
    opening = count(task.opening(users[0])) + _MARKS
    return [opening + _reading(prompt, task.max_turns, count) for prompt in readings]


def _reading(prompt: ReadingPrompt, turns: int, count: CountTokens) -> int:
    names = (turns + 1) * (count(f"{prompt.policy_name}:") + count(f"{prompt.user_name}:"))
    return count(prompt.instruction) + count(prompt.question) + names + 2 * _MARKS + 1
