"""Whether what learner ranks write reaches the driver, which needs a file system that both share.

A path can exist on every node and be another folder on each: what is written there is lost with the
node, without an error.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from curio_ray.errors import CheckpointError, PreflightError

ARRIVAL_S = 15.0
"""A network file system shows what others have written after some seconds at the latest."""
LOOK_EVERY_S = 0.2

_WORD = "driver"
_SHARE = (
    "write an output folder on a file system that all nodes share, such as --output "
    "/shared/runs/NAME"
)


class RankMark(NamedTuple):
    """What a rank made of a probe: its node, whether it saw the driver's word, its own file."""

    node: str
    sees_driver: bool
    file: str


class FolderProbe:
    """A word of the driver in a folder of its own, which every rank must see and repeat there."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._folder = output.absolute() / f".probe-{secrets.token_hex(8)}"
        self._folder.mkdir(parents=True)
        (self._folder / _WORD).write_text(self._folder.name)

    @property
    def folder(self) -> str:
        """Where ranks leave their marks."""
        return str(self._folder)

    def check(self, marks: Sequence[RankMark]) -> None:
        """Look for every rank's mark, and remove the folder.

        Raises:
            PreflightError: a rank sees another folder than the driver.
        """
        try:
            for rank, mark in enumerate(marks):
                if not mark.sees_driver or not _appears(self._folder / mark.file, None):
                    raise PreflightError(
                        f"output: {self._output} is not the same folder on the node of learner "
                        f"rank {rank} ({mark.node}), so that its part of a checkpoint would be "
                        f"lost; {_SHARE}"
                    )
        finally:
            self.remove()

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self._folder, ignore_errors=True)


def leave_mark(folder: Path, rank: int, node: str) -> RankMark:
    """A rank's answer to a probe. It makes no folder: one that is not there is not shared."""
    name = f"rank-{rank}"
    sees_driver = _appears(folder / _WORD, None)
    if sees_driver:
        (folder / name).write_text(node)
    return RankMark(node, sees_driver, name)


def file_sizes(folder: Path, files: Sequence[Path]) -> dict[str, int]:
    """Bytes of files by their path within a folder."""
    return {str(file.relative_to(folder)): file.stat().st_size for file in files}


def check_arrived(folder: Path, written: Mapping[str, Mapping[str, int]]) -> None:
    """Look for the files that ranks have written, by the ranks' names in messages.

    Raises:
        CheckpointError: a file is missing or has another size.
    """
    for rank, sizes in written.items():
        for name, size in sizes.items():
            if not _appears(folder / name, size):
                raise CheckpointError(
                    f"{folder / name}: {rank} has written {size} bytes that are not here, so no "
                    f"checkpoint was made; {_SHARE}"
                )


def _appears(file: Path, size: int | None) -> bool:
    until = time.monotonic() + ARRIVAL_S
    while True:
        if file.is_file() and (size is None or file.stat().st_size == size):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_EVERY_S)
