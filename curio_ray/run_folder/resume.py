"""Which config a resumed run has, and whether there is anything to resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curio_ray.config import RunConfig
from curio_ray.errors import ConfigError
from curio_ray.run_folder.checkpoints import iteration_of
from curio_ray.run_folder.folder import RunFolder, find_checkpoint

CHANGEABLE = (
    "training.iterations",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "learner.ranks",
    "learner.zero_stage",
    "learner.gpus_per_rank",
    "learner.threads",
    "learner.tokens_per_pack",
    "learner.gradient_checkpointing",
    "tracking.",
    "cluster.",
)


def resume_config(path: Path, overrides: Sequence[str]) -> RunConfig:
    """The config of the run at `path` with the few changes that a resumed run may have.

    Raises:
        ConfigError: a change would make it another run, or the run is complete.
        CheckpointError: there is no checkpoint.
    """
    for override in overrides:
        if not override.startswith(CHANGEABLE):
            *names, last = (f"{each}*" if each.endswith(".") else each for each in CHANGEABLE)
            raise ConfigError(
                f"--set {override}: a resumed run keeps its config; only "
                f"{', '.join(names)} and {last} may change"
            )
    config = RunFolder.read_config(path, overrides)
    done = iteration_of(find_checkpoint(path)) or 0
    finished = (path / "summary.json").exists()
    if finished and done >= config.training.iterations:
        raise ConfigError(
            f"{path}: all {done} iterations are done; write --set training.iterations=N with a "
            "larger N to train on"
        )
    return config
