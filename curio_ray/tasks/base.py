"""What a task must tell: its user types, its users, the words of each role and the score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curio_ray.dialogue import Turn, User

Split = Literal["train", "held_out"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat, as the `transformers` chat templates know it."""

    role: Literal["system", "user", "assistant"]
    content: str

    def as_dict(self) -> dict[str, str]:
        """As plain values, with these keys."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class ReadingPrompt:
    """How a model reads a transcript and answers one question about it with one label.

    The prompt is a single user message: `instruction`, then every turn as "name: text" in a line
    of its own, then `question`. Each of `labels` must start with a token of its own in the model's
    tokenizer.
    """

    instruction: str
    policy_name: str
    user_name: str
    question: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A recorded conversation with a user, as the task would hold it.

    `utterances` follow the user's opening and alternate: the policy's first, then the user's.
    """

    user: User
    utterances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparisonPrompt:
    """How a judge reads two dialogues with the same user and says by a label which is better.

    The prompt is a single user message: `instruction`, then each dialogue under its heading with
    every turn as "name: text", then `question`. The first of `labels` stands for the dialogue that
    was shown first.
    """

    instruction: str
    headings: tuple[str, str]
    policy_name: str
    user_name: str
    question: str
    labels: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """How the policy would say which type the user is of: `start`, a space and one of `labels`.

    Behind `start` each of `labels` must begin with a token of its own in the policy's tokenizer.
    """

    start: str
    labels: tuple[str, ...]


class Task(ABC):
    """A conversation task: who the users are, what each role is told, when it ends, who won.

    A task calls no model. The same arguments always give the same users; train and held-out
    users are disjoint. The methods that are not abstract serve the evaluation, which leaves out
    what a task cannot tell, and the supervised start.
    """

    user_types: tuple[str, ...]
    max_turns: int

    @abstractmethod
    def users(self, split: Split) -> Sequence[User]:
        """All users of a split, in a fixed order."""

    @abstractmethod
    def policy_prompt(self, user: User) -> list[Message]:
        """The chat up to the policy's first turn; ends with the user's opening words."""

    @abstractmethod
    def environment_prompt(self, user: User) -> str:
        """The instruction that makes the environment model speak as this user."""

    @abstractmethod
    def opening(self, user: User) -> str:
        """The user's first words, which are also the last message of `policy_prompt`."""

    @abstractmethod
    def user_model_prompt(self) -> ReadingPrompt:
        """How the user model reads the dialogue; the labels are those of `user_types`, in order."""

    @abstractmethod
    def reward_model_prompt(self, user: User) -> ReadingPrompt:
        """How the reward model reads a finished dialogue; the label at index 1 means success."""

    @abstractmethod
    def is_over(self, turns: Sequence[Turn]) -> bool:
        """Whether the policy's last turn ends the dialogue before `max_turns`."""

    @abstractmethod
    def rule_score(self, user: User, turns: Sequence[Turn]) -> float | None:
        """The task reward in [0, 1] by rule, or None where only the reward model can tell."""

    def spoken(self, text: str) -> str:
        """The words of a turn that others hear: without a mark by which it ends the dialogue.

        `is_over` and `rule_score` get the whole text; readers, judges and the policy get these.
        """
        return text

    def user_model_prompt_in_order(self, order: Sequence[int]) -> ReadingPrompt | None:
        """`user_model_prompt` with the types listed in another order; None: there is no such list.

        Position i of the list, and of the labels, belongs to the type `user_types[order[i]]`.
        """
        return None

    def quality_prompts(self) -> Mapping[str, ReadingPrompt]:
        """Quality terms by name: what the reward model is asked after each turn of the policy.

        The transcript ends with that turn; the label at index 1 means that it meets the term.
        """
        return {}

    def comparison_prompts(self, user: User) -> Mapping[str, ComparisonPrompt]:
        """Criteria by name: how a judge tells which of two dialogues with this user is better."""
        return {}

    def policy_answer(self) -> PolicyAnswer | None:
        """How the policy names the user's type, the labels in the order of `user_types`."""
        return None

    def closing_words(self) -> str:
        """What the user adds to a reply where the policy's next turn is its last, ahead of time."""
        return ""

    def exact_belief(self, user: User, questions: Sequence[str]) -> np.ndarray | None:
        """The exact posterior over the user types, [user types], by the user's true answers.

        `questions` are words of the policy, each answered by whom the user is at that time. None
        where no rule can tell.
        """
        return None

    def is_relevant(self, text: str) -> bool | None:
        """Whether the policy's question helps to tell the type; None where it asks nothing or no
        rule can tell.
        """
        return None

    def contradicts_persona(self, user: User, text: str) -> bool | None:
        """Whether the user's words deny something of the persona; None where no rule can tell."""
        return None

    def demonstrations(self, split: Split) -> Sequence[Demonstration]:
        """Recorded conversations with users of a split, for a supervised start; none by default."""
        return ()

    def preferences(self, split: Split) -> Sequence[tuple[Demonstration, Demonstration]]:
        """Pairs of recorded conversations, the better one first; none by default."""
        return ()
