"""The learner's training state on disk: DeepSpeed's shards, random states and counters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed

from curio_ray.errors import CheckpointError

if TYPE_CHECKING:
    from curio_ray.learner.engine import LearnerEngine

TAG = "deepspeed"
SHAPE = ("ranks", "zero_stage", "precision")
COUNTERS = ("updates", "optimizer_steps", "skipped_in_a_row")


def save_state(engine: LearnerEngine, folder: Path) -> None:
    """Write everything that the next step depends on. A collective."""
    folder.mkdir(parents=True, exist_ok=True)
    engine.deepspeed.save_checkpoint(str(folder), tag=TAG, save_latest=False)
    torch.save(_random_states(), folder / f"random-{engine.rank}.pt")
    if engine.rank == 0:
        state = _shape(engine) | {name: getattr(engine, name) for name in COUNTERS}
        (folder / "learner.json").write_text(json.dumps(state, indent=2))
    torch.distributed.barrier()


def load_state(engine: LearnerEngine, folder: Path) -> None:
    """Take up what `save_state` wrote. A collective.

    Raises:
        CheckpointError: the state is missing, or of another number of ranks, ZeRO stage or
            precision, which DeepSpeed cannot convert.
    """
    try:
        state = json.loads((folder / "learner.json").read_text())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: holds no learner state ({error.strerror}); "
            "name a folder that a learner saved"
        ) from error
    for name, value in _shape(engine).items():
        if state[name] != value:
            raise CheckpointError(
                f"{folder} was saved with learner.{name}: {state[name]}, not {value}; "
                f"write learner.{name}: {state[name]} to resume from it"
            )
    loaded, _ = engine.deepspeed.load_checkpoint(str(folder), tag=TAG)
    if loaded is None:
        raise CheckpointError(f"{folder / TAG}: DeepSpeed's part of the learner state is missing")
    _restore_random_states(
        torch.load(folder / f"random-{engine.rank}.pt", weights_only=False, map_location="cpu")
    )
    for name in COUNTERS:
        setattr(engine, name, state[name])


def _shape(engine: LearnerEngine) -> dict[str, Any]:
    return {name: getattr(engine.config, name) for name in SHAPE}


def _random_states() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"])
