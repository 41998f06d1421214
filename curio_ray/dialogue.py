"""The one record that travels through the system: a dialogue made of turns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

Speaker = Literal["policy", "user"]

SILENCE = "..."
"""What is heard where somebody said nothing."""

TRUNCATED = "length"
"""The finish reason of a turn that ended at its `max_tokens`."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a user becomes once `after` exchanges are over, so from the next reply on.

    `announcement` are words that the user says before that reply; empty for a silent change.

    Raises:
        ValueError: `after` is not positive.
    """

    after: int
    type_index: int
    persona: dict[str, str]
    announcement: str = ""

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ValueError("a user changes after one or more exchanges; begin as that user")


@dataclass(frozen=True, slots=True)
class User:
    """A simulated person: a persona, the hidden type that it implies, and how both change.

    `type_index` counts into the task's `user_types`. `changes` are in the order of their time.
    """

    id: str
    type_index: int
    persona: dict[str, str]
    changes: tuple[Change, ...] = ()

    def at(self, exchanges: int) -> User:
        """The person of the exchange that follows so many: who replies to policy turn `exchanges`.

        The returned user does not change any more.
        """
        user = replace(self, changes=()) if self.changes else self
        for change in self.changes:
            if change.after <= exchanges:
                user = User(self.id, change.type_index, change.persona)
        return user


@dataclass(slots=True)
class Turn:
    """What one speaker said.

    `token_ids` are the ids that the turn appended to the policy's context: for the policy
    exactly the ids it sampled; for the user its text with the template's marks around it, up to
    and including the mark that opens the policy's next turn.

    `log_probs` (natural logarithm, under the policy that sampled) and `weight_versions` have one
    entry per sampled token and are empty for the user. `belief` is the user model's distribution
    over the user types after this turn, or None where it was not asked for; after a turn of the
    policy it is asked for only where the gain of replies is told apart. `rewards` holds the
    reward streams credited to this turn, by name, unweighted.

    `label_mass` is by role, `user_model` or `reward_model`, the smallest probability that the
    labels of its readings after this turn hold together.

    `finish_reason` tells why the model ended: "stop" at its end mark, "length" at `max_tokens`,
    None where that is not known. `empty` says that the model said nothing, or white space only;
    `text` is then `SILENCE`.
    """

    speaker: Speaker
    text: str
    token_ids: list[int]
    log_probs: list[float] = field(default_factory=list)
    weight_versions: list[int] = field(default_factory=list)
    belief: np.ndarray | None = None
    rewards: dict[str, float] = field(default_factory=dict)
    finish_reason: str | None = None
    empty: bool = False
    label_mass: dict[str, float] = field(default_factory=dict)

    @property
    def truncated(self) -> bool:
        """Whether the turn was cut off at `max_tokens`."""
        return self.finish_reason == TRUNCATED

    def note_label_mass(self, role: str, mass: float) -> None:
        """Keep the label mass of a reading after this turn."""
        self.label_mass[role] = min(mass, self.label_mass.get(role, 1.0))

    def __post_init__(self) -> None:
        expected = len(self.token_ids) if self.speaker == "policy" else 0
        for name, values in (
            ("log_probs", self.log_probs),
            ("weight_versions", self.weight_versions),
        ):
            if len(values) != expected:
                raise ValueError(
                    f"a {self.speaker} turn needs {expected} {name}, got {len(values)}"
                )
        if self.speaker == "policy" and not self.token_ids:
            raise ValueError("a policy turn needs at least one sampled token")


@dataclass(slots=True)
class Dialogue:
    """One finished conversation: an append-only list of token ids, seen as turns.

    Policy and user speak alternately and the policy speaks first; the user's opening words are
    part of `prompt_ids`. `initial_belief` is the belief before the policy's first turn, and
    `initial_label_mass` the label mass of that reading.
    `success` is the task's verdict. `attempts` counts the tries it took to finish. `stalled` says
    that the dialogue was cut short because the belief no longer moved.
    """

    id: str
    user: User
    prompt_ids: list[int]
    turns: list[Turn]
    initial_belief: np.ndarray | None = None
    success: bool = False
    attempts: int = 1
    stalled: bool = False
    initial_label_mass: float | None = None

    def __post_init__(self) -> None:
        for index, turn in enumerate(self.turns):
            expected = "policy" if index % 2 == 0 else "user"
            if turn.speaker != expected:
                raise ValueError(f"turn {index} of dialogue {self.id} must be the {expected}'s")

    @property
    def policy_turns(self) -> list[Turn]:
        """The turns of the policy, in order; rewards and credit live on these."""
        return self.turns[0::2]

    @property
    def token_ids(self) -> list[int]:
        """The whole context as the policy saw and extended it."""
        ids = list(self.prompt_ids)
        for turn in self.turns:
            ids.extend(turn.token_ids)
        return ids

    def policy_spans(self) -> list[tuple[int, int]]:
        """Half-open ranges of `token_ids` that the policy sampled, one per policy turn."""
        spans, position = [], len(self.prompt_ids)
        for turn in self.turns:
            end = position + len(turn.token_ids)
            if turn.speaker == "policy":
                spans.append((position, end))
            position = end
        return spans

    @property
    def last_user(self) -> User:
        """Who the user is in the end: whoever hears the policy's last turn."""
        return self.user.at(len(self.policy_turns) - 1)

    @property
    def changed(self) -> bool:
        """Whether the user changed before the end."""
        return any(change.after < len(self.policy_turns) for change in self.user.changes)

    def true_types(self) -> np.ndarray:
        """The true type at each row of `beliefs`, int64 [policy turns + 1].

        Row 0 is the start; row t is the person of exchange t, so that a reply counts for whoever
        gave it.
        """
        exchanges = [0, *range(len(self.policy_turns))]
        return np.array([self.user.at(each).type_index for each in exchanges])

    def beliefs(self) -> np.ndarray:
        """Beliefs [policy turns + 1, user types]: before the first turn, then after each exchange.

        An exchange is a policy turn with the user's reply. Where nobody replied and no belief was
        asked for, nothing was learned of the user and the last belief stands.
        """
        if self.initial_belief is None:
            raise ValueError(f"dialogue {self.id} has no beliefs")
        rows = [self.initial_belief]
        for reply in self._replies():
            rows.append(rows[-1] if reply is None or reply.belief is None else reply.belief)
        return np.stack(rows)

    def beliefs_before_replies(self) -> np.ndarray:
        """Beliefs [policy turns, user types] after the policy's words and before the user's reply.

        Where nobody replied it is the belief that stands. So the reply of turn t moved the belief
        from row t of these to row t + 1 of `beliefs`.

        Raises:
            ValueError: a belief after a policy turn was not asked for.
        """
        rows = self.beliefs()[:-1].copy()
        for index, (turn, reply) in enumerate(zip(self.policy_turns, self._replies(), strict=True)):
            if reply is None:
                continue
            if turn.belief is None:
                raise ValueError(f"dialogue {self.id} has no beliefs before the user's replies")
            rows[index] = turn.belief
        return rows

    def _replies(self) -> list[Turn | None]:
        """The user's reply to each policy turn, None where nobody replied."""
        replies: list[Turn | None] = list(self.turns[1::2])
        return [*replies, *[None] * (len(self.policy_turns) - len(replies))]
