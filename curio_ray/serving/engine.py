"""What a server asks of its engine: to sample and, where its model is trained, to take weights."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from curio_ray.serving.requests import GenerateRequest, GenerateResult

UpdateSeconds = dict[str, float]
"""Seconds of a weight update by phase: `start`, `update`, `finish`."""


@dataclass(slots=True)
class EngineStatistics:
    """Totals since the engine started. `busy_seconds` counts time spent in engine steps.

    An engine in another process does not report its steps; its `busy_seconds` counts the time
    during which at least one request was unfinished.
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    sampled_tokens: int = 0
    busy_seconds: float = 0.0
    weight_updates: int = 0

    def count(self, request: GenerateRequest, result: GenerateResult) -> None:
        """Add one answered request."""
        self.requests += 1
        self.prompt_tokens += len(request.prompt_ids)
        self.cached_prompt_tokens += result.cached_tokens
        self.sampled_tokens += len(result.token_ids)


class PhaseLaps:
    """Measures phases that follow one another."""

    def __init__(self) -> None:
        self.seconds: UpdateSeconds = {}
        self._since = time.perf_counter()

    def end(self, phase: str) -> None:
        """A phase is over, and the next one begins."""
        now = time.perf_counter()
        self.seconds[phase] = now - self._since
        self._since = now


class SamplingEngine(Protocol):
    """Generates tokens and reads labels."""

    statistics: EngineStatistics
    vocabulary_size: int

    async def start(self) -> None:
        """Load the model as version 0; from then on `vocabulary_size` is known."""

    def generate(self, request: GenerateRequest) -> Awaitable[GenerateResult]:
        """Answer one request. Cancelling the awaitable aborts the request.

        Raises:
            ServerError: the engine refused the request or failed.
        """

    async def shutdown(self) -> None:
        """Stop, also after a start that failed; unfinished requests fail."""


@runtime_checkable
class TrainableEngine(SamplingEngine, Protocol):
    """Also takes new weights between two steps.

    A weight update is `start_weight_update`, any number of `update_weights`, then
    `finish_weight_update`. No token is sampled in between. Unfinished requests stay: their tokens
    so far keep the old version, the rest are sampled by the new weights, on a context that the new
    weights have read anew.
    """

    async def init_weight_transfer(self, info: dict[str, Any]) -> None:
        """Connect to the sender of weights."""

    async def start_weight_update(self) -> None:
        """Pause generation and make the model ready to receive."""

    async def update_weights(self, info: dict[str, Any]) -> None:
        """Receive one chunk of weights."""

    async def finish_weight_update(self, version: int) -> None:
        """Complete the model, forget everything cached, stamp the version and go on."""
