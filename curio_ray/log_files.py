"""Keeps libraries' output off the terminal: it goes to a file, the display keeps the terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

DRIVER_LOG = "driver.log"


@contextmanager
def output_to_file(folder: Path) -> Iterator[TextIO]:
    """Send stdout, stderr, logging and warnings of this process to `folder`/driver.log.

    The file descriptors themselves are turned, so that C++ libraries and child processes are
    caught as well. Yields a stream that still writes where stdout wrote before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _flush()
    kept = os.dup(1), os.dup(2)
    log = os.open(folder / DRIVER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)
    terminal = os.fdopen(os.dup(kept[0]), "w", encoding="utf-8", errors="replace")
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield terminal
    finally:
        terminal.close()
        _flush()
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(handler)
        for descriptor, previous in zip((1, 2), kept, strict=True):
            os.dup2(previous, descriptor)
            os.close(previous)


def link_process_logs(folder: Path, session: Path) -> None:
    """Show the logs of the run's processes, which Ray keeps in its session, in the run folder."""
    link = folder / "processes"
    if link.is_symlink():
        link.unlink()
    link.symlink_to(session / "logs", target_is_directory=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
