"""The trackers of a run: what each does, TensorBoard, and those that a config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from curio_ray.config import RunConfig
from curio_ray.config.loading import flat_values
from curio_ray.config.tracking import TrackingConfig

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


class Tracker(Protocol):
    """Takes an iteration's numbers."""

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of an iteration; iteration 0 is the evaluation before training."""

    def close(self, complete: bool) -> None:
        """Send what is left and end; `complete` where the run came to its last iteration."""


class NotedTracker(Tracker, Protocol):
    """A tracker that keeps a run elsewhere."""

    @property
    def notes(self) -> dict[str, str]:
        """What the run folder keeps of it: ids to go on with, addresses to look at."""


def missing_libraries(config: TrackingConfig) -> Iterator[str]:
    """For each tracker whose library is not installed, its field and what to do."""
    for name in ("wandb", "mlflow"):
        if getattr(config, name) is not None and find_spec(name) is None:
            yield (
                f"tracking.{name}: the library is not installed; install the extra with "
                f"pip install 'curio-ray[{name}]', or leave the field out"
            )


def open_trackers(
    config: RunConfig, folder: Path, notes: Mapping[str, str]
) -> Iterator[NotedTracker]:
    """Weights & Biases and MLflow, where the config asks for them.

    Args:
        config: the run's.
        folder: the run folder, whose name is the run's.
        notes: what the trackers had to note when they were opened before; their runs go on.

    Raises:
        TrackingError: a tracker's run could not be started.
    """
    values = flat_values(config.model_dump(mode="json"))
    tracking = config.tracking
    if tracking.wandb is not None:
        from curio_ray.tracking.wandb_tracker import WandbTracker

        yield WandbTracker(tracking.wandb, folder, values, notes.get("wandb_run"))
    if tracking.mlflow is not None:
        from curio_ray.tracking.mlflow_tracker import MlflowTracker

        yield MlflowTracker(tracking.mlflow, folder, values, notes.get("mlflow_run"))


class TensorBoardTracker:
    """Writes event files; the first is opened by the first iteration that is logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Add a step."""
        if self._writer is None:
            from tensorboardX import SummaryWriter

            # purge_step hides from the viewer what an interrupted run logged after its checkpoint
            self._writer = SummaryWriter(str(self._folder), purge_step=iteration)
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def close(self, complete: bool) -> None:
        """Close the file; logging again opens a new one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
