"""The trackers that a run also logs to, besides its own folder."""

from __future__ import annotations

from typing import Literal

from curio_ray.config.base import Section


class WandbConfig(Section):
    """Weights & Biases; needs the extra `wandb`."""

    project: str = "curio"
    """The project that holds the run."""
    name: str | None = None
    """The run's name there; by default that of its folder."""
    entity: str | None = None
    """The user or team; by default the account's own."""
    mode: Literal["online", "offline"] = "online"
    """Offline keeps everything in the run folder, to be sent later by `wandb sync`."""


class MlflowConfig(Section):
    """MLflow; needs the extra `mlflow`."""

    uri: str | None = None
    """The tracking server or store; by default what MLFLOW_TRACKING_URI names."""
    experiment: str = "curio"
    """The experiment that holds the run; made where there is none of this name."""
    name: str | None = None
    """The run's name there; by default that of its folder."""


class TrackingConfig(Section):
    """Trackers; the run folder has metrics.jsonl and TensorBoard in any case."""

    wandb: WandbConfig | None = None
    """Log to Weights & Biases; by default not."""
    mlflow: MlflowConfig | None = None
    """Log to MLflow; by default not."""
