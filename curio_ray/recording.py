"""What every driver of an algorithm leaves in a run folder, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curio_ray.config.run import TrainingConfig
from curio_ray.run_folder import RunFolder
from curio_ray.trainer import Iteration

if TYPE_CHECKING:
    from curio_ray.algorithm import Curio


def record_iteration(run: RunFolder, iteration: Iteration) -> None:
    """Write an iteration's metrics and dialogues."""
    run.write_metrics(iteration.number, iteration.metrics)
    run.write_dialogues(iteration.number, iteration.dialogues)


def checkpoint_is_due(training: TrainingConfig, iteration: int) -> bool:
    """Whether the config asks for a checkpoint after this iteration; the last always has one."""
    return iteration == training.iterations or iteration % training.checkpoint_every == 0


def save_checkpoint(algorithm: Curio, run: RunFolder) -> None:
    """Write a whole checkpoint of the algorithm into its run folder."""
    with run.checkpoint(algorithm.trainer.iteration) as folder:
        algorithm.save_to_path(str(folder.absolute()))
