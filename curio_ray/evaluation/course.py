"""What became of a policy since the start: monitors that compare it with the start policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from curio_ray.dialogue import Dialogue
from curio_ray.rewards.streams import TASK
from curio_ray.run_folder.existing_runs import METRICS_FILE
from curio_ray.run_folder.metrics import read_lines

PREFIX = "held_out/"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a policy stands: its success, its turns per dialogue, the reward model's mean verdict.

    `verdict` is None where the reward model is not asked.
    """

    success: float
    policy_turns: float
    verdict: float | None = None

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue], judged: bool) -> Self:
        """That of finished dialogues; `judged` where their task reward is a verdict."""
        return cls(
            success=float(np.mean([each.success for each in dialogues])),
            policy_turns=float(np.mean([len(each.policy_turns) for each in dialogues])),
            verdict=mean_verdict(dialogues) if judged else None,
        )

    @classmethod
    def of_start(cls, line: Mapping[str, Any]) -> Self | None:
        """That of the evaluation before training, from its line in metrics.jsonl.

        None where the line is another one, or of a version that does not tell.
        """
        if f"{PREFIX}policy_turns" not in line:
            return None
        return cls(
            success=line[f"{PREFIX}success"],
            policy_turns=line[f"{PREFIX}policy_turns"],
            verdict=line.get(f"{PREFIX}verdict"),
        )


def read_start(checkpoint: Path) -> Standing | None:
    """Where the start policy of a checkpoint's run stood; None where its folder does not tell."""
    lines = read_lines(checkpoint.parent.parent / METRICS_FILE)
    return Standing.of_start(lines[0]) if lines else None


def mean_verdict(dialogues: Sequence[Dialogue]) -> float:
    """Mean of the reward model's verdicts, which are the task rewards of judged dialogues."""
    return float(np.mean([each.policy_turns[-1].rewards[TASK] for each in dialogues]))


def course_monitors(now: Standing, start: Standing) -> dict[str, float]:
    """The monitors against the start, by name.

    Source: runs of the rewards `log_acc` and `ent`, each of whose exchanges costs: their dialogues
    shrink to one turn within ten iterations, and their success falls below that of the start.
    """
    monitors = {
        "turns_lost": 1 - now.policy_turns / start.policy_turns,
        "success_lost": start.success - now.success,
    }
    if now.verdict is not None and start.verdict is not None:
        monitors["verdict_lost"] = start.verdict - now.verdict
    return monitors
