"""What a set of finished dialogues shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curio_ray.dialogue import Dialogue, User
from curio_ray.evaluation.course import Standing
from curio_ray.evaluation.monitors import label_masses, monitor_values
from curio_ray.rewards.intrinsic import accuracy
from curio_ray.tasks.base import Task


def success_rate(dialogues: Sequence[Dialogue]) -> float:
    """Share of dialogues that the task calls a success."""
    return float(np.mean([dialogue.success for dialogue in dialogues]))


def final_belief(dialogues: Sequence[Dialogue]) -> float:
    """Mean belief at the last turn in the true type of then."""
    return float(np.mean([_belief_in_true_type(each)[-1] for each in dialogues]))


def belief_accuracy(dialogues: Sequence[Dialogue]) -> float:
    """Share of dialogues whose last belief is highest for the true type of then."""
    hits = [each.beliefs()[-1].argmax() == each.true_types()[-1] for each in dialogues]
    return float(np.mean(hits))


def staleness(dialogues: Sequence[Dialogue], version: int) -> dict[str, float]:
    """How many versions the weights that sampled a token are behind `version`: mean and most."""
    behind = [
        version - sampled
        for each in dialogues
        for turn in each.policy_turns
        for sampled in turn.weight_versions
    ]
    return {"staleness": float(np.mean(behind)), "staleness_max": max(behind)}


def belief_by_turn(dialogues: Sequence[Dialogue]) -> list[float]:
    """Mean belief in the true type before the first turn and after each exchange.

    Each belief counts by the type at its own time. A dialogue that ended early keeps its last
    belief.
    """
    curves = [_belief_in_true_type(each) for each in dialogues]
    length = max(len(curve) for curve in curves)
    padded = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return [float(value) for value in np.mean(padded, axis=0)]


def success_after_change(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Share of dialogues whose user changed before the end, and the success of these.

    Empty where no user ever changes; without the success where no dialogue lasted to the change.
    """
    if not any(each.user.changes for each in dialogues):
        return {}
    changed = [each for each in dialogues if each.changed]
    share = {"changed": len(changed) / len(dialogues)}
    return share | ({"success_changed": success_rate(changed)} if changed else {})


def _belief_in_true_type(dialogue: Dialogue) -> np.ndarray:
    return accuracy(dialogue.beliefs(), dialogue.true_types())


def stalled_share(dialogues: Sequence[Dialogue]) -> float:
    """Share of dialogues that were cut short because the belief no longer moved."""
    return float(np.mean([dialogue.stalled for dialogue in dialogues]))


def success_by_turn(dialogues: Sequence[Dialogue]) -> list[float]:
    """Share of dialogues that had succeeded by each policy turn; the last is the success rate.

    A success counts from the dialogue's last policy turn on.
    """
    ends = np.array([len(each.policy_turns) for each in dialogues])
    won = np.array([each.success for each in dialogues], bool)
    return [float(np.mean(won & (ends <= turn))) for turn in range(1, int(ends.max()) + 1)]


def success_by_type(
    dialogues: Sequence[Dialogue], lost: Sequence[User], user_types: Sequence[str]
) -> dict[str, float]:
    """Share of the users of each type whose dialogue succeeded; those lost had no success.

    The type is the one that a user begins with. Types that nobody is of are left out.
    """
    types = np.array([each.type_index for each in (*(d.user for d in dialogues), *lost)])
    won = np.array([*(each.success for each in dialogues), *(False for _ in lost)])
    return {
        f"success_by_type/{name.replace('/', '_')}": float(won[types == index].mean())
        for index, name in enumerate(user_types)
        if np.any(types == index)
    }


def count_questions(dialogues: Sequence[Dialogue], task: Task) -> tuple[np.ndarray, np.ndarray]:
    """How many questions of each dialogue are relevant, and how many the task can tell of."""
    verdicts = [[task.is_relevant(turn.text) for turn in each.policy_turns] for each in dialogues]
    relevant = np.array([sum(verdict is True for verdict in each) for each in verdicts])
    told = np.array([sum(verdict is not None for verdict in each) for each in verdicts])
    return relevant, told


def reward_means(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Mean sum of each reward stream over a dialogue, by `reward/<stream>`."""
    names = sorted({name for each in dialogues for turn in each.turns for name in turn.rewards})
    return {
        f"reward/{name}": float(
            np.mean([sum(turn.rewards[name] for turn in each.policy_turns) for each in dialogues])
        )
        for name in names
    }


def turn_shares(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Shares of turns in which nothing was said, and of those cut off at `max_tokens`.

    `empty_share` and `truncated_share` are of all turns; `NAME_turns/SPEAKER` of one speaker's.
    """
    turns = [turn for each in dialogues for turn in each.turns]
    shares: dict[str, float] = {}
    for name in ("empty", "truncated"):
        marked = np.array([getattr(turn, name) for turn in turns], float)
        shares[f"{name}_share"] = float(marked.mean())
        for speaker in ("policy", "user"):
            own = np.array([turn.speaker == speaker for turn in turns])
            if own.any():
                shares[f"{name}_turns/{speaker}"] = float(marked[own].mean())
    return shares


def label_mass_metrics(dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """How probable a role's labels are together, by role: mean over the readings, and the least."""
    metrics: dict[str, float] = {}
    for role, masses in label_masses(dialogues).items():
        metrics[f"label_mass/{role}"] = float(np.mean(masses))
        metrics[f"label_mass_min/{role}"] = min(masses)
    return metrics


def dialogue_metrics(
    dialogues: Sequence[Dialogue],
    task: Task,
    judged: bool = False,
    start: Standing | None = None,
) -> dict[str, float]:
    """The figures of a batch that the log shows, each a number.

    Turns count from 1; `belief_by_turn/0` is the belief before the first. `judged` and `start` are
    those of `monitor_values`.
    """
    monitors = monitor_values(dialogues, task, judged, start)
    turns = [turn for each in dialogues for turn in each.policy_turns]
    return {
        "success": success_rate(dialogues),
        **success_after_change(dialogues),
        "belief": final_belief(dialogues),
        "belief_accuracy": belief_accuracy(dialogues),
        "policy_turns": len(turns) / len(dialogues),
        "utterance_tokens": float(np.mean([len(turn.token_ids) for turn in turns])),
        **turn_shares(dialogues),
        **label_mass_metrics(dialogues),
        **reward_means(dialogues),
        **{f"success_by_turn/{t}": v for t, v in enumerate(success_by_turn(dialogues), start=1)},
        **{f"belief_by_turn/{t}": v for t, v in enumerate(belief_by_turn(dialogues))},
        **{f"monitor/{name}": value for name, value in monitors.items()},
    }
