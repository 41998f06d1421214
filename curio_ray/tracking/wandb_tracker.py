"""Weights & Biases, by its own library."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from curio_ray.config.tracking import WandbConfig
from curio_ray.errors import TrackingError

logger = logging.getLogger(__name__)


class WandbTracker:
    """One run at Weights & Biases.

    `run_id` continues an earlier run; what that logged after the checkpoint is logged once more.

    Raises:
        TrackingError: the run could not be started.
    """

    def __init__(
        self, config: WandbConfig, folder: Path, values: dict[str, Any], run_id: str | None
    ) -> None:
        try:
            self._run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=config.name or folder.name,
                id=run_id,
                resume="allow",
                config=values,
                allow_val_change=True,
                dir=folder,
                mode=config.mode,
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.Error as error:
            raise TrackingError(
                f"tracking.wandb: no run could be started: {error}; log in with 'wandb login', or "
                "write mode: offline"
            ) from error
        self._run.define_metric("*", step_metric="iteration")

    @property
    def notes(self) -> dict[str, str]:
        """The run's id and, where it is online, its page."""
        page = {} if self._run.offline else {"wandb_url": str(self._run.url)}
        return {"wandb_run": self._run.id, **page}

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Add a step."""
        try:
            self._run.log({"iteration": iteration, **numbers})
        except wandb.Error as error:
            logger.warning("Weights & Biases did not take iteration %d: %s", iteration, error)

    def close(self, complete: bool) -> None:
        """Send what is left."""
        self._run.finish(exit_code=0 if complete else 1)
