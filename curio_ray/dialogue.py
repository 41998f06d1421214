"""The one record that travels through the system: a dialogue made of turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Speaker = Literal["policy", "user"]


@dataclass(frozen=True, slots=True)
class User:
    """A simulated person: a persona and the hidden type that it implies.

    `type_index` counts into the task's `user_types`.
    """

    id: str
    type_index: int
    persona: dict[str, str]


@dataclass(slots=True)
class Turn:
    """What one speaker said.

    `token_ids` are the ids that the turn appended to the policy's context: for the policy
    exactly the ids it sampled; for the user its text with the template's marks around it, up to
    and including the mark that opens the policy's next turn.

    `log_probs` (natural logarithm, under the policy that sampled) and `weight_versions` have one
    entry per sampled token and are empty for the user. `belief` is the user model's distribution
    over the user types after this turn, or None where it was not asked for. `rewards` holds the
    reward streams credited to this turn, by name, unweighted.
    """

    speaker: Speaker
    text: str
    token_ids: list[int]
    log_probs: list[float] = field(default_factory=list)
    weight_versions: list[int] = field(default_factory=list)
    belief: np.ndarray | None = None
    rewards: dict[str, float] = field(default_factory=dict)

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
    part of `prompt_ids`. `initial_belief` is the belief before the policy's first turn.
    `success` is the task's verdict. `attempts` counts the tries it took to finish.
    """

    id: str
    user: User
    prompt_ids: list[int]
    turns: list[Turn]
    initial_belief: np.ndarray | None = None
    success: bool = False
    attempts: int = 1

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

    def beliefs(self) -> np.ndarray:
        """Beliefs [policy turns + 1, user types]: before the first turn, then after each exchange.

        An exchange is a policy turn with the user's reply. Where nobody replied and no belief was
        asked for, nothing was learned of the user and the last belief stands.
        """
        if self.initial_belief is None:
            raise ValueError(f"dialogue {self.id} has no beliefs")
        rows = [self.initial_belief]
        for index in range(0, len(self.turns), 2):
            belief = self.turns[min(index + 1, len(self.turns) - 1)].belief
            rows.append(rows[-1] if belief is None else belief)
        return np.stack(rows)
