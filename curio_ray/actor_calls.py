"""Waiting for the same call on several actors: who was late, who died, who failed and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from curio_ray.errors import CurioError, DeadlineError, NotServingError

GRACE_S = 5.0
"""How long to look for an actor that died once another has failed, perhaps for want of it."""


@dataclass(frozen=True, slots=True)
class ActorKind:
    """The errors of actors of one kind: of one that failed, and of one that died with `advice`."""

    failed: type[CurioError]
    died: type[CurioError]
    advice: str = ""

    def wait(
        self,
        calls: Mapping[str, ray.ObjectRef],
        method: str,
        field: str,
        deadline_s: float,
        on_loss: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """The results of one call per actor.

        Args:
            calls: the pending call of each actor, by the actor's name in messages.
            method: what was called, for messages.
            field: path of the config field that holds the deadline, for messages.
            deadline_s: how long all actors together may take.
            on_loss: told the name of an actor that is lost; then the others are waited for, and
                the result has no place for it. Without it a loss is an error.

        Raises:
            DeadlineError: naming the actors that had not answered.
            CurioError: `died`, naming the actor that died, else of the type that the first one
                raised that failed, or `failed`, naming it with the cause.
        """
        pending = {call: name for name, call in calls.items()}
        results: dict[str, Any] = {}
        failures: dict[str, RayError] = {}
        until = time.monotonic() + deadline_s
        while pending and not any(map(is_loss, failures.values())):
            left = min(until - time.monotonic(), GRACE_S if failures else deadline_s)
            done, _ = ray.wait(list(pending), num_returns=1, timeout=max(left, 0))
            if not done:
                break
            name = pending.pop(done[0])
            try:
                results[name] = ray.get(done[0])
            except RayError as error:
                if on_loss is not None and is_loss(error):
                    on_loss(name)
                else:
                    failures[name] = error
        if failures:
            raise self._explain(failures, method)
        if pending:
            raise DeadlineError(
                f"{', '.join(pending.values())} did not finish {method} within {deadline_s:g} s; "
                f"raise {field}, or look in its log for what it is stuck in"
            )
        return {name: results[name] for name in calls if name in results}

    def _explain(self, failures: Mapping[str, RayError], method: str) -> CurioError:
        lost = [name for name, error in failures.items() if is_loss(error)]
        name = lost[0] if lost else next(iter(failures))
        error = failures[name]
        explained: CurioError
        if lost:
            advice = f"; {self.advice}" if self.advice else ""
            explained = self.died(f"{name} died during {method} ({_what_happened(error)}){advice}")
        elif isinstance(error, RayTaskError) and isinstance(error.cause, CurioError):
            explained = type(error.cause)(f"{name}: {error.cause}")
        else:
            explained = self.failed(f"{name} failed in {method}: {error}")
        explained.__cause__ = error
        return explained


def is_loss(error: Exception) -> bool:
    """Whether a call failed since its actor is gone, or has not taken up service again."""
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, NotServingError)
    return isinstance(error, (RayError, OSError))


def _what_happened(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    # After its first line an actor's death lists ids.
    return text.splitlines()[0] if isinstance(error, RayActorError) else text
