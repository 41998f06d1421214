"""MLflow, by its own client."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from curio_ray.config.tracking import MlflowConfig
from curio_ray.errors import TrackingError

logger = logging.getLogger(__name__)

_METRICS_PER_CALL = 1000
_PARAMETERS_PER_CALL = 100


class MlflowTracker:
    """One run of an MLflow experiment.

    `run_id` continues an earlier run; what that logged after the checkpoint is logged once more.

    Raises:
        TrackingError: the run could not be started.
    """

    def __init__(
        self, config: MlflowConfig, folder: Path, values: dict[str, Any], run_id: str | None
    ) -> None:
        # MLflow's own seven retries would hold up each iteration for minutes while a server is away
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        try:
            self._client = MlflowClient(tracking_uri=config.uri)
            if run_id is None:
                self._run_id = self._start(config.experiment, config.name or folder.name)
                self._log_config(values)
            else:
                self._run_id = run_id
                self._client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            raise TrackingError(
                f"tracking.mlflow: no run could be started: {error}; check uri: "
                f"{config.uri or '$MLFLOW_TRACKING_URI'}"
            ) from error

    @property
    def notes(self) -> dict[str, str]:
        """The run's id."""
        return {"mlflow_run": self._run_id}

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Add a step."""
        now = round(time.time() * 1000)
        metrics = [Metric(name, value, now, iteration) for name, value in numbers.items()]
        try:
            for start in range(0, len(metrics), _METRICS_PER_CALL):
                part = metrics[start : start + _METRICS_PER_CALL]
                self._client.log_batch(self._run_id, metrics=part)
        except MlflowException as error:
            logger.warning("MLflow did not take iteration %d: %s", iteration, error)

    def close(self, complete: bool) -> None:
        """Mark the run as over."""
        try:
            self._client.set_terminated(self._run_id, "FINISHED" if complete else "KILLED")
        except MlflowException as error:
            logger.warning("MLflow did not take the end of the run: %s", error)

    def _start(self, experiment: str, name: str) -> str:
        known = self._client.get_experiment_by_name(experiment)
        number = (
            self._client.create_experiment(experiment) if known is None else known.experiment_id
        )
        return self._client.create_run(number, run_name=name).info.run_id

    def _log_config(self, values: dict[str, Any]) -> None:
        parameters = [Param(name, str(value)) for name, value in values.items()]
        for start in range(0, len(parameters), _PARAMETERS_PER_CALL):
            part = parameters[start : start + _PARAMETERS_PER_CALL]
            self._client.log_batch(self._run_id, params=part)
