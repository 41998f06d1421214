"""Where a run's weight files lie, and their removal when no learner is left to do it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

SHARED_MEMORY_FOLDER = Path("/dev/shm")


def weights_folder(run_id: str) -> Path:
    """The folder of a run's weight files: in shared memory, where the machine has it."""
    in_memory = SHARED_MEMORY_FOLDER.is_dir()
    base = SHARED_MEMORY_FOLDER if in_memory else Path(tempfile.gettempdir())
    return base / f"curio-weights-{run_id}"


def remove_leftover_weights(run_id: str) -> None:
    """Remove what a killed learner left on this machine; nothing where there is nothing.

    Call it once learner and servers have ended. Files on other machines stay.
    """
    folder = weights_folder(run_id)
    if folder.exists():
        shutil.rmtree(folder)
