"""The learner's training state on disk: trained weights, AdamW's moments, random states, counters.

Every rank writes and reads its own part by the parameters' names, so that a state goes on at any
number of ranks and any ZeRO stage. At the same ones the next step is bitwise the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed

from curio_ray.errors import CheckpointError
from curio_ray.learner.optimizer_state import KINDS, local_pieces, set_steps, spread_weights
from curio_ray.learner.shard_files import PieceReader, write_pieces

if TYPE_CHECKING:
    from curio_ray.learner.engine import LearnerEngine

STATE_FILE = "learner.json"
COUNTERS = ("updates", "optimizer_steps", "skipped_in_a_row")


def save_state(engine: LearnerEngine, folder: Path) -> None:
    """Write everything that the next step depends on. A collective.

    A model that adapters were put into is not written: it is the start policy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # at stage 0 every rank holds everything
    writers = engine.ranks if engine.config.zero_stage else 1
    if engine.rank < writers:
        pieces = list(local_pieces(engine))
        for kind in KINDS:
            parts = ((piece.name, piece.start, piece.tensors[kind]) for piece in pieces)
            write_pieces(folder, kind, engine.rank, parts)
    torch.save(_random_states(), _random_file(folder, engine.rank))
    if engine.rank == 0:
        state = {"writers": writers, "lora": _adapters(engine)}
        state |= {name: getattr(engine, name) for name in COUNTERS}
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2))
    torch.distributed.barrier()


def load_state(engine: LearnerEngine, folder: Path) -> None:
    """Take up what `save_state` wrote, at whatever number of ranks and ZeRO stage. A collective.

    Raises:
        CheckpointError: the state is missing, incomplete, or of a learner that trained other
            parameters.
    """
    state = _read_counters(folder)
    if state["lora"] != _adapters(engine):
        raise CheckpointError(
            f"{folder} was saved with learner.lora: {json.dumps(state['lora'])}, not "
            f"{json.dumps(_adapters(engine))}; write the former to resume from it"
        )
    pieces = list(local_pieces(engine))
    for kind in KINDS:
        with PieceReader(folder, kind, state["writers"]) as reader:
            for piece in pieces:
                reader.read_into(piece.name, piece.start, piece.tensors[kind])
    set_steps(engine, state["optimizer_steps"])
    spread_weights(engine)
    _restore_random_states(engine, folder)
    for name in COUNTERS:
        setattr(engine, name, state[name])


def _read_counters(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: holds no learner state ({error.strerror}); "
            "name a folder that a learner saved"
        ) from error
    return state


def _adapters(engine: LearnerEngine) -> dict[str, Any] | None:
    """What decides which parameters are trained, and what the adapters' product is scaled by."""
    lora = engine.config.lora
    return None if lora is None else lora.model_dump(mode="json", exclude={"dropout"})


def _random_file(folder: Path, rank: int) -> Path:
    return folder / f"random-{rank}.pt"


def _random_states() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore_random_states(engine: LearnerEngine, folder: Path) -> None:
    file = _random_file(folder, engine.rank)
    if not file.exists():
        # A rank that was not there before. Nothing but the adapters' dropout draws.
        torch.manual_seed(np.random.SeedSequence([engine.seed, engine.rank]).generate_state(1)[0])
        return
    states = torch.load(file, weights_only=False, map_location="cpu")
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
