"""Tokens that each role reads and samples in one dialogue, with and without prefix caching.

    python benchmarks/tokens_per_dialogue.py MODEL FILE.json [FILE.json ...]

Measured on recorded conversations of Education Dialogue with the tokenizer and chat template of
MODEL (a folder or an id). No model is loaded. The figures of docs/operate/scaling.md come from
here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.supervised.examples import (
    Example,
    environment_example,
    exchanges_of,
    policy_example,
    reward_model_example,
    user_model_example,
)
from curio_ray.tasks.base import Demonstration
from curio_ray.tasks.education.task import EducationTask


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one role in one dialogue: requests, sampled, read with all before cached, or none."""

    requests: float
    sampled: float
    read_once: float
    read_anew: float


def speaking(example: Example) -> Tokens:
    """A role that speaks: each request is the context before one of its utterances."""
    own = example.own
    starts = np.flatnonzero(own & ~np.concatenate([[False], own[:-1]]))
    sampled = int(own.sum())
    return Tokens(len(starts), sampled, len(own) - sampled, float(starts.sum()))


def reading(examples: Sequence[Example], question: int) -> Tokens:
    """A role that is asked for a label after each of these growing transcripts."""
    lengths = [len(example) for example in examples]
    once = lengths[-1] + (len(lengths) - 1) * question
    return Tokens(len(lengths), len(lengths), once, float(sum(lengths)))


def of_roles(chat: ChatFormat, task: EducationTask, held: Demonstration) -> dict[str, Tokens]:
    """All roles' tokens in one conversation."""
    reading_format = ReadingFormat(chat, task.user_model_prompt())
    question = len(reading_format.question_ids)
    asked = [
        user_model_example(reading_format, task, held, n) for n in range(exchanges_of(held) + 1)
    ]
    judged = [reward_model_example(chat, task, held)]
    return {
        "policy": speaking(policy_example(chat, task, held)),
        "environment": speaking(environment_example(chat, task, held)),
        "user_model": reading(asked, question),
        "reward_model": reading(judged, question),
    }


def main(model: str, files: Sequence[str]) -> None:
    """Print the means over all conversations."""
    chat = ChatFormat.load(model)
    paths = [str(Path(file).absolute()) for file in files]
    task = EducationTask(seed=0, files=paths)
    held = [*task.demonstrations("train"), *task.demonstrations("held_out")]
    tokens = [of_roles(chat, task, each) for each in held]
    table = Table("role", "requests", "sampled", "read, cached", "read, not cached", "factor")
    for role in tokens[0]:
        mean = np.mean(
            [(t.requests, t.sampled, t.read_once, t.read_anew) for t in (x[role] for x in tokens)],
            axis=0,
        )
        table.add_row(
            role, f"{mean[0]:.1f}", *(f"{x:,.0f}" for x in mean[1:]), f"{mean[3] / mean[2]:.1f}"
        )
    Console(width=100).print(f"{len(held)} conversations", table)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python benchmarks/tokens_per_dialogue.py MODEL FILE.json [FILE.json ...]")
    main(sys.argv[1], sys.argv[2:])
