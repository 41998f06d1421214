"""Dialogues that could not be held: whose they were, why, and whether another try could help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curio_ray.dialogue import User
from curio_ray.errors import (
    ContextError,
    DeadlineError,
    NotServingError,
    ReplicaLostError,
    RewardError,
    ServerError,
)

FailureKind = Literal["context", "lost_server", "deadline", "server", "reward", "role", "group"]
"""Why a dialogue failed.

`context`: it is longer than a model reads. `lost_server`: whoever answered was lost, again and
again. `deadline`: it took too long. `server`: a server refused. `reward`: the task or a reward
could not score it. `role`: a role's answer cannot be used. `group`: nothing of its own; another
dialogue of its group failed.
"""

# The first that fits an error; of several errors the first kind here counts.
_KINDS: tuple[tuple[type[BaseException], FailureKind], ...] = (
    (ContextError, "context"),
    (RewardError, "reward"),
    (ReplicaLostError, "lost_server"),
    (NotServingError, "lost_server"),
    (DeadlineError, "deadline"),
    (TimeoutError, "deadline"),
    (ServerError, "server"),
    (BaseException, "role"),
)
_NOT_ITS_OWN: tuple[FailureKind, ...] = ("lost_server", "deadline")


@dataclass(frozen=True, slots=True)
class Failure:
    """A dialogue that could not be finished in any attempt."""

    dialogue_id: str
    user: User
    kind: FailureKind
    reason: str
    attempts: int = 1

    def record(self, user_types: Sequence[str]) -> dict[str, Any]:
        """As plain values, with the user's type by name."""
        return {
            "dialogue": self.dialogue_id,
            "user": self.user.id,
            "user_type": user_types[self.user.type_index],
            "kind": self.kind,
            "reason": self.reason,
            "attempts": self.attempts,
        }


def failure_kind(errors: Sequence[BaseException]) -> FailureKind:
    """Why a dialogue failed, from the errors that ended it together."""
    for error_type, kind in _KINDS:
        if any(isinstance(error, error_type) for error in errors):
            return kind
    return "role"


def worth_another_try(kind: FailureKind, random: bool) -> bool:
    """Whether a dialogue that failed so may succeed if it is held again.

    A prompt that is too long stays so. Where nothing is drawn at random the same words would meet
    the same end, unless the fault was not the dialogue's own.
    """
    if kind == "context":
        return False
    return random or kind in _NOT_ITS_OWN


def failed(failures: Sequence[Failure]) -> list[Failure]:
    """Those that failed themselves, not with their group."""
    return [each for each in failures if each.kind != "group"]


def failure_metrics(
    failures: Sequence[Failure], held: int, user_types: Sequence[str]
) -> dict[str, float]:
    """The share of dialogues that failed, and how many by kind and by the user's type.

    Args:
        failures: of a batch.
        held: how many of the batch's dialogues were finished.
        user_types: the task's.
    """
    own = failed(failures)
    kinds = Counter(each.kind for each in own)
    types = Counter(user_types[each.user.type_index].replace("/", "_") for each in own)
    return {
        "failed_share": len(own) / (held + len(failures)) if own else 0.0,
        **{f"failed_dialogues/reason/{name}": count for name, count in sorted(kinds.items())},
        **{f"failed_dialogues/type/{name}": count for name, count in sorted(types.items())},
    }


def describe(failures: Sequence[Failure], user_types: Sequence[str], most: int = 3) -> str:
    """The users that could not be held with their types and reasons, the first few by name."""
    own = failed(failures)
    parts = [
        f"user {each.user.id} ({user_types[each.user.type_index]}): {each.reason}"
        for each in own[:most]
    ]
    more = f"; and {len(own) - most} more" if len(own) > most else ""
    return "; ".join(parts) + more
