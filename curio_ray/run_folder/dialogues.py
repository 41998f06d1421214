"""Dialogues as parquet: one row per dialogue with its turns nested in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curio_ray.dialogue import Change, Dialogue, Turn, User
from curio_ray.errors import CheckpointError
from curio_ray.run_folder.checkpoints import iteration_of

_BELIEF = pa.list_(pa.float64())
_TURN = pa.struct(
    {
        "speaker": pa.string(),
        "text": pa.string(),
        "token_ids": pa.list_(pa.int32()),
        "log_probs": pa.list_(pa.float64()),
        "weight_versions": pa.list_(pa.int32()),
        "belief": _BELIEF,
        "rewards": pa.map_(pa.string(), pa.float64()),
        "finish_reason": pa.string(),
        "empty": pa.bool_(),
        "label_mass": pa.map_(pa.string(), pa.float64()),
    }
)
_PERSONA = pa.map_(pa.string(), pa.string())
_CHANGE = pa.struct(
    {
        "after": pa.int32(),
        "user_type": pa.int32(),
        "persona": _PERSONA,
        "announcement": pa.string(),
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "user_id": pa.string(),
        "user_type": pa.int32(),
        "persona": _PERSONA,
        "changes": pa.list_(_CHANGE),
        "true_types": pa.list_(pa.int32()),
        "success": pa.bool_(),
        "attempts": pa.int32(),
        "stalled": pa.bool_(),
        "prompt_ids": pa.list_(pa.int32()),
        "initial_belief": _BELIEF,
        "initial_label_mass": pa.float64(),
        "turns": pa.list_(_TURN),
    }
)


def write_dialogues(path: Path, dialogues: Iterable[Dialogue]) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    table = pa.Table.from_pylist([_row(dialogue) for dialogue in dialogues], schema=SCHEMA)
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def read_dialogues(path: Path) -> list[Dialogue]:
    """The dialogues as they were written; beliefs come back as float64 arrays."""
    return [_dialogue(row) for row in pq.read_table(path, schema=SCHEMA).to_pylist()]


def read_newest_dialogues(folder: Path, iterations: int) -> list[Dialogue]:
    """The dialogues of the newest iterations in a run's folder of dialogues.

    Raises:
        CheckpointError: there are none.
    """
    files = [file for file in folder.glob("*.parquet") if iteration_of(file) is not None]
    if not files:
        raise CheckpointError(f"{folder}: holds no dialogues; train the run first")
    newest = sorted(files, key=lambda file: iteration_of(file) or 0)[-iterations:]
    return [dialogue for file in newest for dialogue in read_dialogues(file)]


def _row(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "id": dialogue.id,
        "user_id": dialogue.user.id,
        "user_type": dialogue.user.type_index,
        "persona": list(dialogue.user.persona.items()),
        "changes": [_change_row(change) for change in dialogue.user.changes],
        "true_types": dialogue.true_types(),
        "success": bool(dialogue.success),
        "attempts": dialogue.attempts,
        "stalled": dialogue.stalled,
        "prompt_ids": dialogue.prompt_ids,
        "initial_belief": dialogue.initial_belief,
        "initial_label_mass": dialogue.initial_label_mass,
        "turns": [_turn_row(turn) for turn in dialogue.turns],
    }


def _change_row(change: Change) -> dict[str, Any]:
    return {
        "after": change.after,
        "user_type": change.type_index,
        "persona": list(change.persona.items()),
        "announcement": change.announcement,
    }


def _turn_row(turn: Turn) -> dict[str, Any]:
    return {
        "speaker": turn.speaker,
        "text": turn.text,
        "token_ids": turn.token_ids,
        "log_probs": turn.log_probs,
        "weight_versions": turn.weight_versions,
        "belief": turn.belief,
        "rewards": [(name, float(value)) for name, value in turn.rewards.items()],
        "finish_reason": turn.finish_reason,
        "empty": turn.empty,
        "label_mass": list(turn.label_mass.items()),
    }


def _dialogue(row: Mapping[str, Any]) -> Dialogue:
    return Dialogue(
        id=row["id"],
        user=_user(row),
        prompt_ids=row["prompt_ids"],
        turns=[_turn(turn) for turn in row["turns"]],
        initial_belief=_array(row["initial_belief"]),
        success=row["success"],
        attempts=row["attempts"],
        stalled=bool(row["stalled"]),
        initial_label_mass=row["initial_label_mass"],
    )


def _user(row: Mapping[str, Any]) -> User:
    # files of runs without changes lack the column
    changes = tuple(
        Change(each["after"], each["user_type"], dict(each["persona"]), each["announcement"])
        for each in row["changes"] or ()
    )
    return User(row["user_id"], row["user_type"], dict(row["persona"]), changes)


def _turn(row: Mapping[str, Any]) -> Turn:
    values = {**row, "belief": _array(row["belief"]), "rewards": dict(row["rewards"])}
    # null in files of runs that did not keep it
    values["empty"] = bool(row["empty"])
    values["label_mass"] = dict(row["label_mass"] or ())
    return Turn(**values)


def _array(values: list[float] | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, dtype=np.float64)
