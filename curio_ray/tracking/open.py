"""Opens the trackers that a config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from curio_ray.config import RunConfig
from curio_ray.config.loading import flat_values
from curio_ray.config.tracking import TrackingConfig
from curio_ray.tracking.base import NotedTracker


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
