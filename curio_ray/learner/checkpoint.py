"""The learner's training state on disk: trained weights, AdamW's moments, random states, counters.

Every rank writes and reads its own part by the parameters' names, so that a state goes on at any
number of ranks and any ZeRO stage. At the same ones the next step is bitwise the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import CheckpointError
from curio_ray.learner.value import ValueLearner
from curio_ray.private_api.deepspeed_private import KINDS, OptimizerShards

STATE_FILE = "learner.json"
VALUE_FILE = "value.safetensors"


@dataclass(frozen=True, slots=True)
class RankState:
    """What of one rank is written to disk and read from it, and which rank that is."""

    shards: OptimizerShards
    value: ValueLearner
    config: LearnerConfig
    rank: int
    ranks: int
    seed: int

    @property
    def adapters(self) -> dict[str, Any] | None:
        """What decides which parameters are trained, and how the adapters' product is scaled."""
        lora = self.config.lora
        return None if lora is None else lora.model_dump(mode="json", exclude={"dropout"})


def save_state(state: RankState, counters: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write everything that the next step depends on. A collective.

    A model that adapters were put into is not written: it is the start policy.

    Returns:
        The files that this rank has written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    # at stage 0 every rank holds everything
    writers = state.ranks if state.config.zero_stage else 1
    if state.rank < writers:
        shards = list(state.shards)
        for kind in KINDS:
            parts = ((shard.name, shard.start, shard.tensors[kind]) for shard in shards)
            _write_shards(folder, kind, state.rank, parts)
            files.append(_shard_file(folder, kind, state.rank))
    files.append(_random_file(folder, state.rank))
    torch.save(_random_states(), files[-1])
    if state.rank == 0:
        values = {"writers": writers, "lora": state.adapters, **counters}
        files.append(folder / STATE_FILE)
        files[-1].write_text(json.dumps(values, indent=2))
        files.append(folder / VALUE_FILE)
        save_file({k: each.cpu() for k, each in state.value.tensors().items()}, files[-1])
    torch.distributed.barrier()
    return files


def load_state(state: RankState, folder: Path) -> dict[str, Any]:
    """Take up what `save_state` wrote, at whatever number of ranks and ZeRO stage. A collective.

    Returns:
        The counters that were saved.

    Raises:
        CheckpointError: the state is missing, incomplete, or of a learner that trained other
            parameters.
    """
    saved = _read_values(folder)
    writers, adapters = saved.pop("writers"), saved.pop("lora")
    if adapters != state.adapters:
        raise CheckpointError(
            f"{folder} was saved with learner.lora: {json.dumps(adapters)}, not "
            f"{json.dumps(state.adapters)}; write the former to resume from it"
        )
    shards = list(state.shards)
    for kind in KINDS:
        with _ShardReader(folder, kind, writers) as reader:
            for shard in shards:
                reader.read_into(shard.name, shard.start, shard.tensors[kind])
    state.shards.set_steps(saved["optimizer_steps"])
    state.shards.spread_weights()
    _read_value(state.value, folder / VALUE_FILE)
    _restore_random_states(state, folder)
    return saved


def _read_values(folder: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: holds no learner state ({error.strerror}); "
            "name a folder that a learner saved"
        ) from error
    return values


def _read_value(value: ValueLearner, file: Path) -> None:
    try:
        saved = load_file(file)
        for name, tensor in value.tensors().items():
            tensor.copy_(saved[name])
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: the state of the value cannot be read ({error}); name a whole checkpoint of "
            "the same model and learner.value.hidden_size"
        ) from error


def _random_file(folder: Path, rank: int) -> Path:
    return folder / f"random-{rank}.pt"


def _random_states() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore_random_states(state: RankState, folder: Path) -> None:
    file = _random_file(folder, state.rank)
    if not file.exists():
        # A rank that was not there before. Nothing but the adapters' dropout draws.
        torch.manual_seed(np.random.SeedSequence([state.seed, state.rank]).generate_state(1)[0])
        return
    states = torch.load(file, weights_only=False, map_location="cpu")
    torch.set_rng_state(states["torch"])
    np.random.set_state(states["numpy"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _write_shards(
    folder: Path, kind: str, rank: int, shards: Iterable[tuple[str, int, torch.Tensor]]
) -> None:
    """Write the (name, start, elements) that one rank holds of one kind."""
    tensors, starts = {}, {}
    for name, start, elements in shards:
        if len(elements):
            # A copy, since safetensors refuses tensors that lie in one another's storage.
            tensors[name] = elements.detach().to("cpu", copy=True)
            starts[name] = str(start)
    save_file(tensors, _shard_file(folder, kind, rank), metadata=starts)


class _ShardReader:
    """All shards of one kind that the first `ranks` ranks wrote. A context manager.

    Raises:
        CheckpointError: a rank's file is missing or damaged.
    """

    def __init__(self, folder: Path, kind: str, ranks: int) -> None:
        self._folder = folder
        self._paths = [_shard_file(folder, kind, rank) for rank in range(ranks)]
        self._files = ExitStack()
        self._shards: dict[str, list[tuple[int, int, Any]]] = {}

    def __enter__(self) -> _ShardReader:
        for path in self._paths:
            try:
                file = self._files.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(
                    f"{path}: this part of the learner state cannot be read ({error}); "
                    "name a whole checkpoint"
                ) from error
            for name, start in (file.metadata() or {}).items():
                shard = file.get_slice(name)
                (length,) = shard.get_shape()
                self._shards.setdefault(name, []).append((int(start), length, shard))
        return self

    def __exit__(self, *_: object) -> None:
        self._shards.clear()
        self._files.close()

    def read_into(self, name: str, start: int, elements: torch.Tensor) -> None:
        """Fill a flat tensor with the elements of `name` from `start` on.

        Raises:
            CheckpointError: some of them are in no file.
        """
        wanted, filled = len(elements), 0
        for low, high, shard, shard_start in self._overlaps(name, start, start + wanted):
            elements[low - start : high - start].copy_(
                shard[low - shard_start : high - shard_start]
            )
            filled += high - low
        if filled != wanted:
            raise CheckpointError(
                f"{self._folder}: the learner state holds {filled} of {wanted} elements of {name}; "
                "name a whole checkpoint of the same model"
            )

    def _overlaps(self, name: str, start: int, end: int) -> Iterator[tuple[int, int, Any, int]]:
        for shard_start, length, shard in self._shards.get(name, []):
            low, high = max(start, shard_start), min(end, shard_start + length)
            if low < high:
                yield low, high, shard, shard_start


def _shard_file(folder: Path, kind: str, rank: int) -> Path:
    return folder / f"{kind}-rank-{rank}.safetensors"
