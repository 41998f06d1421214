"""Education Dialogue: a teacher finds out how a student likes to learn, and teaches in that way."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from curio_ray.config.base import Positive, Section
from curio_ray.dialogue import SILENCE, Turn, User
from curio_ray.errors import ConfigError
from curio_ray.tasks.base import (
    ComparisonPrompt,
    Demonstration,
    Message,
    PolicyAnswer,
    ReadingPrompt,
    Split,
    Task,
)
from curio_ray.tasks.education.data import (
    SAMPLE_FILE,
    LoadedConversations,
    RecordedConversation,
    StudentStyle,
    load_conversations,
)
from curio_ray.tasks.education.demonstrations import demonstration, lesson_pairs
from curio_ray.tasks.education.text import END_MARKER, ends_conversation, without_end_marker
from curio_ray.tasks.judging import comparison_prompts, quality_prompts

MAX_TURNS = 50
TEACHER, STUDENT = "Teacher", "Student"
STYLE_WORDS: dict[StudentStyle, str] = {
    "story_telling": "creative expression, story telling and games",
    "hands_on": "hands-on activities and real-world applications",
    "lectures": "direct instruction and lectures",
    "discussion": "interactive learning, class discussions and asking questions",
}
QUALITY_CRITERIA = (
    "A good lesson meets all of these: the teacher is clear and enthusiastic; the teacher invites "
    "questions and participation; the student feels comfortable to ask and to disagree."
)

_LETTERS = ("A", "B", "C", "D")
_log = logging.getLogger(__name__)


class EducationOptions(Section):
    """`task.options` of the education task."""

    files: tuple[Path, ...] = ()
    """Absolute paths of the dataset's files; the packaged sample by default."""
    styles: Annotated[tuple[StudentStyle, ...], Field(min_length=2)] = ("story_telling", "hands_on")
    """The user types: two to four of story_telling, hands_on, lectures and discussion."""
    turns: Annotated[Positive, Field(le=MAX_TURNS)] = 10
    """The most turns that the teacher has."""
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """The share of topics, on average, that training never sees."""
    train_users: Positive | None = None
    """Users of training; all that the topics give by default."""
    held_out_users: Positive | None = None
    """Users of evaluation; all that the topics give by default."""

    @field_validator("files")
    @classmethod
    def _files_are_absolute(cls, files: tuple[Path, ...]) -> tuple[Path, ...]:
        expanded = tuple(path.expanduser() for path in files)
        for path in expanded:
            if not path.is_absolute():
                raise ValueError(
                    f"'{path}' is relative, and the processes of a run work in other folders; "
                    f"write {path.absolute()}"
                )
        return expanded

    @field_validator("styles")
    @classmethod
    def _styles_differ(cls, styles: tuple[StudentStyle, ...]) -> tuple[StudentStyle, ...]:
        if len(set(styles)) < len(styles):
            raise ValueError("a style is named twice; write each once")
        return styles


class EducationTask(Task):
    """The teacher is the policy; the student's preferred style of learning is the user type.

    A user is a topic, a style and a reaction to other styles. The topics and reactions come from
    recorded conversations. A topic belongs to one split, whatever the seed and the other topics
    are, so that models trained on the training rows of a run are new to the held-out users of
    every other. The seed decides the order of the users; types are evenly spread.

    Raises:
        pydantic.ValidationError: an option is unknown or out of range.
        ConfigError: a file cannot be used, or gives too few users.
    """

    def __init__(self, seed: int, **options: object) -> None:
        self.options = EducationOptions.model_validate(options)
        self.user_types: tuple[str, ...] = self.options.styles
        self.max_turns = self.options.turns
        recorded = self._load().conversations
        reactions = sorted({each.student_reaction for each in recorded})
        topics = sorted({each.topic for each in recorded})
        self._users: dict[Split, tuple[User, ...]] = {
            "train": self._draw_users("train", topics, reactions, (seed, 0)),
            "held_out": self._draw_users("held_out", topics, reactions, (seed, 1)),
        }

    def users(self, split: Split) -> Sequence[User]:
        """All users of a split, in a fixed order."""
        return self._users[split]

    def conversations(self, split: Split) -> tuple[RecordedConversation, ...]:
        """The recorded conversations on the split's topics with students of the task's types.

        They are read anew, since a run's processes need not hold them.
        """
        return tuple(
            each
            for each in self._load().conversations
            if each.student_style in self.options.styles and self._split(each.topic) == split
        )

    def policy_prompt(self, user: User) -> list[Message]:
        """The teacher's instruction, which tells the topic, and the student's opening."""
        instruction = (
            f"You are a teacher. Teach one student about {_in_sentence(user.persona['topic'])} "
            f"in a conversation of at most {self.max_turns} turns, and teach in the way that suits "
            "this student. Each time, say one to three short sentences. When the lesson is "
            f"finished, write {END_MARKER}"
        )
        return [Message("system", instruction), Message("user", self.opening(user))]

    def environment_prompt(self, user: User) -> str:
        """The student's persona: topic, style and reaction."""
        persona = user.persona
        return (
            "Play a student who talks with a teacher about "
            f"{_in_sentence(persona['topic'])}. The student prefers to learn by "
            f"{STYLE_WORDS[self.options.styles[user.type_index]]}, {persona['reaction']}. "
            "The preference stays the same throughout, whatever the teacher says. Show it by how "
            "the student responds, and tell it when the teacher asks. Speak only as the student, "
            "in one or two short sentences."
        )

    def opening(self, user: User) -> str:
        """The student names the topic, and nothing of the preferred style."""
        return f"Hello! Today I would like to learn about {_in_sentence(user.persona['topic'])}."

    def user_model_prompt(self) -> ReadingPrompt:
        """Which style the student prefers; the instruction lists the styles by letter."""
        return self.user_model_prompt_in_order(range(len(self.user_types)))

    def user_model_prompt_in_order(self, order: Sequence[int]) -> ReadingPrompt:
        """The letters in their order, the styles in another."""
        letters = _LETTERS[: len(self.user_types)]
        listed = "\n".join(
            f"{letter}: {STYLE_WORDS[self.options.styles[style]]}"
            for letter, style in zip(letters, order, strict=True)
        )
        return ReadingPrompt(
            instruction=(
                "A student talks with a teacher. The student prefers one of these styles of "
                f"learning:\n{listed}\nThe conversation:"
            ),
            policy_name=TEACHER,
            user_name=STUDENT,
            question=(
                "Which style of learning does the student prefer? "
                f"Answer with one letter: {', '.join(letters[:-1])} or {letters[-1]}."
            ),
            labels=letters,
        )

    def policy_answer(self) -> PolicyAnswer:
        """The teacher tells the student which style of learning it is."""
        styles = tuple(STYLE_WORDS[style] for style in self.options.styles)
        return PolicyAnswer("You like to learn by", styles)

    def reward_model_prompt(self, user: User) -> ReadingPrompt:
        """Whether the lesson was good; the judge is not told the preferred style."""
        return ReadingPrompt(
            instruction=(
                "Judge a lesson that a teacher gave to a student about "
                f"{_in_sentence(user.persona['topic'])}. {QUALITY_CRITERIA}\nThe conversation:"
            ),
            policy_name=TEACHER,
            user_name=STUDENT,
            question="Was this a good lesson? Answer with one word: No or Yes.",
            labels=("No", "Yes"),
        )

    def quality_prompts(self) -> dict[str, ReadingPrompt]:
        """Whether the teacher is informative, engaging and respectful."""
        return quality_prompts(TEACHER, STUDENT)

    def comparison_prompts(self, user: User) -> dict[str, ComparisonPrompt]:
        """The judge is told the preferred style for personalisation, the criteria for quality."""
        style = STYLE_WORDS[self.options.styles[user.type_index]]
        return comparison_prompts(
            TEACHER, STUDENT, f"The student prefers to learn by {style}.", QUALITY_CRITERIA
        )

    def is_over(self, turns: Sequence[Turn]) -> bool:
        """Whether the teacher wrote the end marker, or spoke after the student had written it."""
        return any(ends_conversation(turn.text) for turn in turns[-2:])

    def spoken(self, text: str) -> str:
        """The words before the end marker, which nobody hears, nor what is written behind it."""
        return without_end_marker(text) or SILENCE

    def rule_score(self, user: User, turns: Sequence[Turn]) -> None:
        """None: only the reward model can tell whether a lesson was good."""
        return

    def demonstrations(self, split: Split) -> Sequence[Demonstration]:
        """The recorded conversations of the split, as lessons with their own students."""
        return [self._demonstration(each) for each in self.conversations(split)]

    def preferences(self, split: Split) -> Sequence[tuple[Demonstration, Demonstration]]:
        """Lessons whose teacher suits the student, each before one whose teacher does not."""
        recorded = self.conversations(split)
        lessons = [self._demonstration(each) for each in recorded]
        return [(lessons[better], lessons[worse]) for better, worse in lesson_pairs(recorded)]

    def _demonstration(self, recorded: RecordedConversation) -> Demonstration:
        user = User(
            id=f"{recorded.file}-{recorded.row}",
            type_index=self.options.styles.index(recorded.student_style),
            persona={"topic": recorded.topic, "reaction": recorded.student_reaction},
        )
        return demonstration(recorded, user, self.max_turns)

    def _load(self) -> LoadedConversations:
        try:
            loaded = load_conversations(*(self.options.files or (SAMPLE_FILE,)))
        except ConfigError as error:
            raise ConfigError(f"task.options.files: {error}") from error
        if loaded.rejected:
            first = loaded.rejected[0]
            reason = f"rejected; {first.file} row {first.row}: {first.reason}"
            if not loaded.conversations:
                rows = f"all {len(loaded.rejected)} rows are"
                rows = "its only row is" if len(loaded.rejected) == 1 else rows
                raise ConfigError(f"task.options.files: {rows} {reason}")
            _log.warning("%d rows are %s", len(loaded.rejected), reason)
        return loaded

    def _split(self, topic: str) -> Split:
        digest = hashlib.sha256(topic.casefold().encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        return "held_out" if place < self.options.held_out_share else "train"

    def _draw_users(
        self, split: Split, topics: Sequence[str], reactions: Sequence[str], seed: tuple[int, int]
    ) -> tuple[User, ...]:
        """Every topic of the split with every reaction, as often as there are styles."""
        backgrounds = [
            {"topic": topic, "reaction": reaction}
            for topic in topics
            if self._split(topic) == split
            for reaction in reactions
        ]
        types = range(len(self.options.styles))
        orders = [np.random.default_rng((*seed, t)).permutation(len(backgrounds)) for t in types]
        drawn = chain.from_iterable(zip(*orders, strict=True))
        users = [
            User(f"{split}-{number:05d}", number % len(types), backgrounds[background])
            for number, background in enumerate(drawn)
        ]
        wanted = getattr(self.options, f"{split}_users") or max(len(users), 1)
        if wanted > len(users):
            raise ConfigError(
                f"task.options.{split}_users: the topics give {len(users)} users where {wanted} "
                "are needed; write fewer, change held_out_share, or name more files"
            )
        return tuple(users[:wanted])


def _in_sentence(topic: str) -> str:
    return f"the {topic.removeprefix('The ')}" if topic.startswith("The ") else topic
