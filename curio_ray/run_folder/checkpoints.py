"""Checkpoints: folders named by iteration, written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curio_ray.run_folder.atomic import sync, sync_tree

TRAINER_FOLDER = "trainer"
POLICY_FOLDER = "policy"

BEST_LINK = "best"

_NAME = re.compile(r"iteration-(\d{6,})(\.parquet)?")
_UNFINISHED = re.compile(r"\.iteration-\d{6,}\.(partial|removed)")


def iteration_name(iteration: int) -> str:
    """The name that files and folders of an iteration carry: `iteration-000020`."""
    return f"iteration-{iteration:06d}"


def iteration_of(path: Path) -> int | None:
    """The iteration in a name, or None where the name is not one of ours.

    A user's copy, such as `iteration-000020.bak`, is none of ours.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    iteration = int(match[1])
    return iteration if path.name.startswith(iteration_name(iteration)) else None


def policy_folder(checkpoint: Path) -> Path:
    """Where a checkpoint holds the policy as a Hugging Face model."""
    return checkpoint / TRAINER_FOLDER / POLICY_FOLDER


class Checkpoints:
    """The checkpoints of a run; the newest `keep` stay, and the best one.

    The best is what the relative link `best` leads to. A checkpoint is written to a hidden folder,
    forced to the disk and then renamed, so that whatever carries a checkpoint's name is complete.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def all(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [
            path
            for path in self.folder.iterdir()
            if path.is_dir() and not path.suffix and iteration_of(path) is not None
        ]
        return sorted(found, key=lambda path: iteration_of(path) or 0)

    def latest(self) -> Path | None:
        """The newest complete checkpoint."""
        return next(reversed(self.all()), None)

    def best(self) -> Path | None:
        """The checkpoint that was marked as the best, if any and still there."""
        link = self.folder / BEST_LINK
        if not link.is_symlink():
            return None
        target = self.folder / os.readlink(link)
        return target if target in self.all() else None

    def mark_best(self, iteration: int) -> None:
        """Let the checkpoint of an iteration be the best one, which is never removed."""
        link = self.folder / f".{BEST_LINK}.partial"
        link.unlink(missing_ok=True)
        link.symlink_to(iteration_name(iteration))
        link.replace(self.folder / BEST_LINK)
        sync(self.folder)
        self._keep_few()

    @contextmanager
    def write(self, iteration: int) -> Iterator[Path]:
        """A folder to fill; it becomes the checkpoint of `iteration` when the block ends well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        final = self.folder / iteration_name(iteration)
        partial = self.folder / f".{final.name}.partial"
        partial.mkdir()
        try:
            yield partial
            sync_tree(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if final.exists():
            self._remove(final)
        partial.rename(final)
        sync(self.folder)
        self._keep_few()

    def _keep_few(self) -> None:
        best = self.best()
        for old in self.all()[: -self.keep]:
            if old != best:
                self._remove(old)

    def _remove(self, checkpoint: Path) -> None:
        hidden = checkpoint.with_name(f".{checkpoint.name}.removed")
        checkpoint.rename(hidden)
        shutil.rmtree(hidden)

    def _sweep(self) -> None:
        for path in self.folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path)
