"""What a set of finished dialogues shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.dialogue import Dialogue


def success_rate(dialogues: Sequence[Dialogue]) -> float:
    """Share of dialogues that the task calls a success."""
    return float(np.mean([dialogue.success for dialogue in dialogues]))


def final_belief(dialogues: Sequence[Dialogue]) -> float:
    """Mean belief in the true type at the last turn."""
    return float(np.mean([each.beliefs()[-1, each.user.type_index] for each in dialogues]))


def belief_by_turn(dialogues: Sequence[Dialogue]) -> list[float]:
    """Mean belief in the true type before the first turn and after each exchange.

    A dialogue that ended early keeps its last belief.
    """
    curves = [each.beliefs()[:, each.user.type_index] for each in dialogues]
    length = max(len(curve) for curve in curves)
    padded = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return [float(value) for value in np.mean(padded, axis=0)]


def reward_means(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Mean sum of each reward stream over a dialogue, by `reward/<stream>`."""
    names = sorted({name for each in dialogues for turn in each.turns for name in turn.rewards})
    return {
        f"reward/{name}": float(
            np.mean([sum(turn.rewards[name] for turn in each.policy_turns) for each in dialogues])
        )
        for name in names
    }


def dialogue_metrics(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """The figures of a batch that the log shows."""
    turns = [turn for each in dialogues for turn in each.policy_turns]
    return {
        "success": success_rate(dialogues),
        "belief": final_belief(dialogues),
        "policy_turns": len(turns) / len(dialogues),
        "utterance_tokens": float(np.mean([len(turn.token_ids) for turn in turns])),
        **reward_means(dialogues),
    }
