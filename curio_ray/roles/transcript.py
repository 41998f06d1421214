"""A dialogue as text for whoever reads it: one line a turn, whatever the turn holds."""

from __future__ import annotations

import re
from collections.abc import Callable

from curio_ray.dialogue import Speaker
from curio_ray.roles.content import SPELLED_MARK

# What may stand before a name that opens a line: quotes, and what sets off lists and bold words.
_BEFORE_NAME = r"[\s*_#>\-\"'“(\[]*"


class Transcript:
    """Writes the turns of a dialogue under the names of its speakers.

    `spoken` makes of a turn's text the words that others hear, as `Task.spoken` does.
    """

    def __init__(
        self, policy_name: str, user_name: str, spoken: Callable[[str], str] | None = None
    ) -> None:
        self._names = {"policy": policy_name, "user": user_name}
        self._spoken = spoken

    def line(self, speaker: Speaker, text: str) -> str:
        """One turn, without the line break behind it: every run of white space is one space."""
        said = text if self._spoken is None else self._spoken(text)
        return f"{self._names[speaker]}: {one_line(said)}"


def one_line(text: str) -> str:
    """The text with every run of white space, of any kind, as one space, and none around it."""
    return " ".join(text.split())


def is_forged(text: str, policy_name: str, user_name: str) -> bool:
    """Whether a turn of the policy holds what looks like more than its own words.

    That is a mark of a chat template spelled out, a line that opens with the user's name and a
    colon, or a further line that opens with the policy's.
    """
    if SPELLED_MARK.search(text):
        return True
    first, *others = text.splitlines() or [""]
    user, either = _opens_with(user_name), _opens_with(policy_name, user_name)
    return bool(user.match(first)) or any(either.match(line) for line in others)


def _opens_with(*names: str) -> re.Pattern[str]:
    listed = "|".join(re.escape(name.strip()) for name in names)
    return re.compile(rf"{_BEFORE_NAME}(?:{listed})[\s*_]*[:：]", re.IGNORECASE)
