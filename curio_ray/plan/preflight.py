"""What must hold on this machine before a run starts its first process."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from curio_ray.config import RunConfig
from curio_ray.errors import PreflightError
from curio_ray.plan.memory import GIB
from curio_ray.plan.plan import Plan
from curio_ray.tracking.trackers import missing_libraries

# A checkpoint holds weights, optimizer states and the exported policy; logs and dialogues come on
# top of it.
_CHECKPOINT_BYTES_PER_PARAMETER = 24
_LOGS_GIB = 0.5


def check_preflight(plan: Plan, output: Path | None) -> None:
    """Look at Python, ports, trackers' libraries, the output folder and its disk.

    `output` is None for a command that keeps no run folder.

    Raises:
        PreflightError: one line per problem, each with what to do.
    """
    problems = [*_python_problems(), *_port_problems(plan.config)]
    if output is not None:
        problems += [*_folder_problems(output), *_disk_problems(plan, output)]
        problems += missing_libraries(plan.config.tracking)
    if problems:
        raise PreflightError("this machine cannot hold the run:\n  " + "\n  ".join(problems))


def _python_problems() -> Iterator[str]:
    major, minor = sys.version_info[:2]
    if not (3, 11) <= (major, minor) <= (3, 13):
        yield (
            f"Python {major}.{minor} runs this command and 3.11, 3.12 or 3.13 is needed; make the "
            "environment with make train PYTHON=/path/to/one"
        )


def _port_problems(config: RunConfig) -> Iterator[str]:
    if config.cluster.address is not None:
        return
    if config.cluster.dashboard and not _is_free(config.cluster.dashboard_port):
        yield (
            f"cluster.dashboard_port: port {config.cluster.dashboard_port} is taken; write another "
            "one, or cluster.dashboard: false"
        )
    if config.learner.port is not None and not _is_free(config.learner.port):
        yield (
            f"learner.port: port {config.learner.port} is taken; write another one, or leave it "
            "out to have a free one chosen"
        )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _folder_problems(output: Path) -> Iterator[str]:
    existing = _nearest_existing(output)
    if not existing.is_dir():
        yield f"output: {existing} is a file; write another folder with --output"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"output: {existing} cannot be written to; write another folder with --output"


def _disk_problems(plan: Plan, output: Path) -> Iterator[str]:
    size = plan.models[plan.config.roles.policy.server].size
    parameters = size.parameters if size is not None else 0
    # one more than are kept: the old ones are removed after the new one is complete
    best = int(plan.config.evaluation.every > 0)
    checkpoints = plan.config.training.keep_checkpoints + best + 1
    needed = _LOGS_GIB + checkpoints * parameters * _CHECKPOINT_BYTES_PER_PARAMETER / GIB
    free = shutil.disk_usage(_nearest_existing(output)).free / GIB
    if free < needed:
        yield (
            f"output: {free:.1f} GiB of disk space are free at {output} and the run may need "
            f"{needed:.1f}; make room, lower training.keep_checkpoints, or write another --output"
        )


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())
