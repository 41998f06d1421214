"""Pieces of named flat tensors in safetensors files: written by some ranks, read by any others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from curio_ray.errors import CheckpointError


def write_pieces(
    folder: Path, kind: str, rank: int, pieces: Iterable[tuple[str, int, torch.Tensor]]
) -> None:
    """Write the (name, start, elements) that one rank holds of one kind."""
    from safetensors.torch import save_file

    tensors, starts = {}, {}
    for name, start, elements in pieces:
        if len(elements):
            # A copy, since safetensors refuses tensors that lie in one another's storage.
            tensors[name] = elements.detach().to("cpu", copy=True)
            starts[name] = str(start)
    save_file(tensors, _path(folder, kind, rank), metadata=starts)


class PieceReader:
    """All pieces of one kind that the first `ranks` ranks wrote. A context manager.

    Raises:
        CheckpointError: a rank's file is missing or damaged.
    """

    def __init__(self, folder: Path, kind: str, ranks: int) -> None:
        self._folder = folder
        self._paths = [_path(folder, kind, rank) for rank in range(ranks)]
        self._files = ExitStack()
        self._pieces: dict[str, list[tuple[int, int, Any]]] = {}

    def __enter__(self) -> PieceReader:
        from safetensors import SafetensorError, safe_open

        for path in self._paths:
            try:
                file = self._files.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(
                    f"{path}: this part of the learner state cannot be read ({error}); "
                    "name a whole checkpoint"
                ) from error
            for name, start in (file.metadata() or {}).items():
                piece = file.get_slice(name)
                (length,) = piece.get_shape()
                self._pieces.setdefault(name, []).append((int(start), length, piece))
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.clear()
        self._files.close()

    def read_into(self, name: str, start: int, elements: torch.Tensor) -> None:
        """Fill a flat tensor with the elements of `name` from `start` on.

        Raises:
            CheckpointError: some of them are in no file.
        """
        wanted, filled = len(elements), 0
        for low, high, piece, piece_start in self._overlaps(name, start, start + wanted):
            elements[low - start : high - start].copy_(
                piece[low - piece_start : high - piece_start]
            )
            filled += high - low
        if filled != wanted:
            raise CheckpointError(
                f"{self._folder}: the learner state holds {filled} of {wanted} elements of {name}; "
                "name a whole checkpoint of the same model"
            )

    def _overlaps(self, name: str, start: int, end: int) -> Iterator[tuple[int, int, Any, int]]:
        for piece_start, length, piece in self._pieces.get(name, []):
            low, high = max(start, piece_start), min(end, piece_start + length)
            if low < high:
                yield low, high, piece, piece_start


def _path(folder: Path, kind: str, rank: int) -> Path:
    return folder / f"{kind}-rank-{rank}.safetensors"
