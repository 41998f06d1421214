"""What became of a run that did not do what a test waited for, in few lines."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

FRAMES = 5
LINES = 15


def end_and_tell_where_it_was(process: subprocess.Popen[bytes]) -> str:
    """End a run with all its processes; where their main threads, and the run's others, were."""
    if process.poll() is not None:
        return ""
    run = psutil.Process(process.pid)
    family = run.children(recursive=True)
    stacks = _stacks(run) + [stack for each in family for stack in _stacks(each)[:1]]
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
    head, *threads = dumped.split("\nThread ")
    return [f"{head.strip()[:80]}, {_innermost(each)}" for each in threads]


def _innermost(thread: str) -> str:
    return "\n".join(thread.splitlines()[: 1 + FRAMES])
