"""Exercise Recommendation in small: ask a user questions, then recommend the exercise that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from curio_ray.config.base import Positive, Section
from curio_ray.dialogue import Turn, User
from curio_ray.tasks.base import (
    ComparisonPrompt,
    Message,
    PolicyAnswer,
    ReadingPrompt,
    Split,
    Task,
)
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT, STRATEGIES, posterior
from curio_ray.tasks.exercise.users import (
    Changes,
    draw_users,
    persona_key,
    stated_context,
    with_changes,
)
from curio_ray.tasks.exercise.words import USER_MODEL_PROMPT, reward_model_prompt
from curio_ray.tasks.judging import comparison_prompts

MAX_USERS = 100_000


class ExerciseOptions(Section):
    """`task.options`: `questions` counts the turns before the recommendation.

    With `changes` each user becomes someone of another type: silently (`switch`) or as a stated
    context changes (`context`). `switch_after` is the first and the last exchange after which
    that may happen.
    """

    train_users: Annotated[Positive, Field(le=MAX_USERS)] = 200
    held_out_users: Annotated[Positive, Field(le=MAX_USERS)] = 256
    questions: Annotated[Positive, Field(le=words.MAX_QUESTIONS)] = 5
    changes: Changes = "none"
    switch_after: tuple[Positive, Positive] = (2, 4)

    @model_validator(mode="after")
    def _changes_fit_the_dialogue(self) -> ExerciseOptions:
        first, last = self.switch_after
        if self.changes != "none" and not first <= last < self.questions:
            raise ValueError(
                f"switch_after: a user cannot change after exchange {first} to {last} of "
                f"{self.questions} and be asked again; write [first, last] with first <= last < "
                "task.options.questions"
            )
        return self


class ExerciseTask(Task):
    """The eight strategies are the user types; the ideal strategy follows from the persona by rule.

    The seed draws the users. Types are as evenly spread as the number of users allows, no
    persona occurs twice, and the held-out users do not depend on the number of training users.

    Raises:
        pydantic.ValidationError: an option is unknown or out of range.
    """

    user_types = STRATEGIES

    def __init__(self, seed: int, **options: object) -> None:
        self.options = ExerciseOptions.model_validate(options)
        self.max_turns = self.options.questions + 1
        held_out = draw_users("held_out", self.options.held_out_users, (seed, 1), taken=set())
        taken = {persona_key(user.persona) for user in held_out}
        train = draw_users("train", self.options.train_users, (seed, 0), taken)
        changes, after = self.options.changes, self.options.switch_after
        self._users: dict[Split, tuple[User, ...]] = {
            "train": with_changes(train, changes, after, (seed, 2)),
            "held_out": with_changes(held_out, changes, after, (seed, 3)),
        }

    def users(self, split: Split) -> Sequence[User]:
        """All users of a split, in a fixed order."""
        return self._users[split]

    def policy_prompt(self, user: User) -> list[Message]:
        """The system message, which tells the number of questions, and the user's opening."""
        return [
            Message("system", words.policy_instruction(self.options.questions)),
            Message("user", self.opening(user)),
        ]

    def environment_prompt(self, user: User) -> str:
        """The persona in words."""
        return words.persona_instruction(user.persona)

    def opening(self, user: User) -> str:
        """The same for every user: it tells nothing but the context, where one is stated."""
        return words.opening(stated_context(user))

    def user_model_prompt(self) -> ReadingPrompt:
        """Which strategy fits, judged by the user's words alone."""
        return USER_MODEL_PROMPT

    def policy_answer(self) -> PolicyAnswer:
        """The beginning of the recommendation."""
        return PolicyAnswer("i recommend", STRATEGIES)

    def reward_model_prompt(self, user: User) -> ReadingPrompt:
        """Whether the recommendation is the ideal strategy, which the judge is told."""
        return reward_model_prompt(STRATEGIES[user.type_index])

    def comparison_prompts(self, user: User) -> dict[str, ComparisonPrompt]:
        """The judge is told the ideal strategy; a pocket model does not know these words."""
        return comparison_prompts(
            "Adviser",
            "User",
            f"The exercise that fits this user best is {STRATEGIES[user.type_index]}.",
            "A good adviser asks about what matters and then recommends one exercise.",
        )

    def is_over(self, turns: Sequence[Turn]) -> bool:
        """Whether the policy's last turn recommends a strategy."""
        return bool(words.recommended_strategies(_last_policy_text(turns)))

    def rule_score(self, user: User, turns: Sequence[Turn]) -> float:
        """1 if the policy's last turn recommends the ideal strategy and no other, else 0."""
        recommended = words.recommended_strategies(_last_policy_text(turns))
        return float(recommended == {STRATEGIES[user.type_index]})

    def closing_words(self) -> str:
        """The question for the recommendation."""
        return words.CLOSING

    def exact_belief(self, user: User, questions: Sequence[str]) -> np.ndarray:
        """The posterior by the values asked about; a later answer replaces an earlier one."""
        facts: dict[str, str] = {}
        for number, text in enumerate(questions):
            persona, attribute = user.at(number).persona, words.asked_attribute(text)
            if attribute is not None and attribute in persona:
                facts[attribute] = persona[attribute]
        return posterior(facts)

    def is_relevant(self, text: str) -> bool | None:
        """Whether the attribute asked about is one of the five that decide the strategy."""
        attribute = words.asked_attribute(text)
        return None if attribute is None else attribute in RELEVANT

    def contradicts_persona(self, user: User, text: str) -> bool:
        """Whether any sentence states another value than the persona's."""
        return any(
            user.persona.get(attribute) != value
            for sentence in text.split(".")
            for attribute, value in words.known_facts([sentence]).items()
        )


def _last_policy_text(turns: Sequence[Turn]) -> str:
    return next((turn.text for turn in reversed(turns) if turn.speaker == "policy"), "")
