"""What became of a run that did not do what a test waited for, in few lines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

FRAMES = 5
LINES = 15


def end_and_tell_where_it_was(process: subprocess.Popen) -> str:
    """End a run with all its processes; where their main threads, and the run's others, were."""
    if process.poll() is not None:
        return f"the run had ended with exit code {process.returncode}"
    run = psutil.Process(process.pid)
    family = run.children(recursive=True)
    others = [_stacks(each)[:1] for each in family]
    stacks = list(chain(_stacks(run), *others))
    for each in [run, *family]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return "\n".join(stacks)


def last_lines(log: Path) -> str:
    """The end of a log, where there is one."""
    return "\n".join(log.read_text().splitlines()[-LINES:]) if log.exists() else ""


def _stacks(process: psutil.Process) -> list[str]:
    """The innermost frames of each thread, after a line that tells its process."""
    command = [str(Path(sys.executable).with_name("py-spy")), "dump", "--pid", str(process.pid)]
    dumped = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = dumped.splitlines()
    return [f"{lines[0][:80]}, {stack}" for stack in _by_thread(lines)]


def _by_thread(lines: list[str]) -> Iterator[str]:
    starts = [number for number, line in enumerate(lines) if line.startswith("Thread ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=False):
        yield "\n".join(lines[start : min(end, start + 1 + FRAMES)])
