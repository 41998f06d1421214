"""Finished answers of one client, waiting to be collected."""

from __future__ import annotations

import asyncio

from curio_ray.models.requests import GenerateResult

Answer = GenerateResult | str
"""A result, or the text of the error that this one request met."""


class Outbox:
    """Holds answers until the client's next long poll takes all of them."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, Answer]] = []
        self._filled = asyncio.Event()

    def put(self, request_id: int, answer: Answer) -> None:
        """Add one answer."""
        self._answers.append((request_id, answer))
        self._filled.set()

    async def take(self, wait_s: float) -> list[tuple[int, Answer]]:
        """Everything finished, at once when there is anything; empty after `wait_s` seconds."""
        try:
            await asyncio.wait_for(self._filled.wait(), wait_s)
        except TimeoutError:
            return []
        answers, self._answers = self._answers, []
        self._filled.clear()
        return answers
