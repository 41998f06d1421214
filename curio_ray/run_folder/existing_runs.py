"""Runs that are on disk already: config, checkpoints, locks, and what a resumed run may change."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TextIO

from curio_ray.config import RunConfig, load_config
from curio_ray.errors import CheckpointError, ConfigError, PreflightError
from curio_ray.run_folder.checkpoints import BEST_LINK, Checkpoints, iteration_of, policy_folder

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.jsonl"
ALARMS_FILE = "alarms.jsonl"
FAILURES_FILE = "failures.jsonl"
SUMMARY_FILE = "summary.json"
EVALUATION_FILE = "evaluation.json"
NOTES_FILE = "links.json"
DIALOGUES_FOLDER = "dialogues"
CHECKPOINTS_FOLDER = "checkpoints"

CHANGEABLE = (
    "training.iterations",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.alarms.*",
    "training.stops.*",
    "evaluation.every",
    "learner.ranks",
    "learner.zero_stage",
    "learner.gpus_per_rank",
    "learner.threads",
    "learner.tokens_per_pack",
    "learner.gradient_checkpointing",
    "servers.*.url",
    "servers.*.api_key_env",
    "servers.*.max_in_flight",
    "servers.*.request_deadline_s",
    "servers.*.retry_for_s",
    "tracking.*",
    "cluster.*",
)
"""Patterns of the fields that a resumed run may change."""


def holds_a_run(path: Path) -> bool:
    """Whether a folder holds results that a new run must not overwrite."""
    metrics = path / METRICS_FILE
    has_metrics = metrics.is_file() and metrics.stat().st_size > 0
    return has_metrics or bool(Checkpoints(path / CHECKPOINTS_FOLDER, keep=1).all())


def next_free(path: Path) -> Path:
    """The first of `path.1`, `path.2` ... that does not exist."""
    number = 1
    while (free := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return free


def set_aside(path: Path) -> Path:
    """Rename an existing run folder to the next free number and return its new path.

    Raises:
        PreflightError: a running process is writing to it.
    """
    lock = lock_folder(path)
    aside = next_free(path)
    path.rename(aside)
    lock.close()
    return aside


def lock_folder(path: Path) -> TextIO:
    """Let no other process write to a run folder while the returned file is open.

    Raises:
        PreflightError: another process is writing to it.
    """
    file = (path / ".lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise PreflightError(
            f"output: another process is writing to {path}; wait for it or write another --output"
        ) from error
    return file


def read_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The resolved config of the run at `path`, touching nothing.

    Raises:
        ConfigError: there is no run, or an override is wrong.
    """
    file = Path(path) / CONFIG_FILE
    if not file.is_file():
        raise ConfigError(f"{path}: is not a run folder, it has no {CONFIG_FILE}; name one")
    return load_config(file, tuple(overrides))


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint meant by a run's folder, or by a checkpoint's or its copy's own.

    Of a run it is the best on held-out users where one was marked, else the newest.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path}: there is no such folder; name a run or a checkpoint")
    if path.is_symlink() and path.name == BEST_LINK:
        return path.parent / path.readlink()
    if iteration_of(path) is not None or policy_folder(path).is_dir():
        return path
    checkpoints = Checkpoints(path / CHECKPOINTS_FOLDER, keep=1)
    found = checkpoints.best() or checkpoints.latest()
    if found is None:
        raise CheckpointError(f"{path}: holds no complete checkpoint; train it first")
    return found


def why_this_checkpoint(path: str | Path) -> str:
    """In a few words, which of a run's checkpoints `find_checkpoint` takes; empty for its own."""
    checkpoints = Checkpoints(Path(path) / CHECKPOINTS_FOLDER, keep=1)
    latest = checkpoints.latest()
    if latest is None:
        return ""
    if checkpoints.best() in (None, latest):
        return "the newest"
    return f"the best on held-out users; the newest is {latest.name}"


def resume_config(path: Path, overrides: Sequence[str]) -> RunConfig:
    """The config of the run at `path` with the few changes that a resumed run may have.

    Raises:
        ConfigError: a change would make it another run, or the run is complete.
        CheckpointError: there is no checkpoint.
    """
    for override in overrides:
        field = override.partition("=")[0]
        if not any(fnmatch(field, pattern) for pattern in CHANGEABLE):
            *names, last = CHANGEABLE
            raise ConfigError(
                f"--set {override}: a resumed run keeps its config; only "
                f"{', '.join(names)} and {last} may change"
            )
    config = read_config(path, overrides)
    latest = Checkpoints(path / CHECKPOINTS_FOLDER, keep=1).latest()
    done = iteration_of(latest or find_checkpoint(path)) or 0
    finished = (path / SUMMARY_FILE).exists()
    if finished and done >= config.training.iterations:
        raise ConfigError(
            f"{path}: all {done} iterations are done; write --set training.iterations=N with a "
            "larger N to train on"
        )
    return config
