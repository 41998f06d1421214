"""Lines that a run says when something about its learning begins or ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curio_ray.config.learner import UPDATE_TRIES


class Notices:
    """What is to be said of the iterations, each thing once while it lasts."""

    def __init__(self) -> None:
        self._without_signal = False

    def of(self, iteration: int, metrics: Mapping[str, Any]) -> Iterator[str]:
        """The lines of an iteration, from its metrics."""
        without = metrics.get("no_signal_share") == 1
        if without and not self._without_signal:
            yield (
                f"iteration {iteration}: no signal; its dialogues' returns differ by less than "
                "credit.min_deviation, so that their advantages are 0 and rewards teach nothing"
            )
        if self._without_signal and not without:
            yield f"iteration {iteration}: rewards tell dialogues apart again"
        self._without_signal = without
        if times := int(metrics.get("updates_taken_back", 0)):
            then = (
                "it was left out, and nothing was learned"
                if times == UPDATE_TRIES
                else "it was then learned at a smaller rate"
            )
            yield (
                f"iteration {iteration}: its update went beyond learner.max_update_kl and was "
                f"taken back {times} time{'s' if times > 1 else ''}; {then}"
            )
