"""One run of a comparison as a Ray Tune trial that keeps a run folder and evaluates at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curio_ray.compare.runs import write_result
from curio_ray.config import RunConfig
from curio_ray.evaluation.course import Standing
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.existing_runs import holds_a_run
from curio_ray.tasks.base import Split
from curio_ray.training.algorithm import Curio, CurioConfig
from curio_ray.training.evaluations import Evaluations
from curio_ray.training.gates import Gates, stopped_by

logger = logging.getLogger(__name__)


class ComparedCurio(Curio):
    """`Curio` that goes on from its run folder, logs there, and evaluates after the last iteration.

    The run's `output` names the folder. With several machines it must lie where all can reach it.
    """

    def setup(self, config: CurioConfig) -> None:
        """Start the run, or take up an earlier one at its newest checkpoint."""
        self._folder: RunFolder | None = None
        super().setup(config)
        try:
            self._folder = self._open(config)
            self._folder.track()
            self._measure_start(self._folder)
            self._gates = Gates(config.run_config, self._folder, logger.warning)
        except BaseException:
            self.cleanup()
            raise

    def _output(self, run: RunConfig) -> Path:
        """Checkpoints lie in the run's own folder."""
        return run.output

    def training_step(self) -> None:
        """One iteration; after the last one also the evaluation on both splits."""
        run = self.config.run_config
        # a run that was stopped between its last checkpoint and its result has nothing to learn
        assert self._folder is not None
        evaluations = Evaluations(self, run, self._folder, tell=self._evaluated)
        evaluations.after(self.trainer.iteration)
        if self.trainer.iteration < run.training.iterations:
            super().training_step()
            self._log(self._folder)
            evaluations.after(self.trainer.iteration)
        if self.trainer.iteration >= run.training.iterations:
            held_out = _of_split("held_out", evaluations.write(self.trainer.iteration))
            train = _of_split("train", self.measure(run.evaluation.users, "train"))
            write_result(self._folder.path, train, held_out)
            for split, values in (("train", train), ("held_out", held_out)):
                self.metrics.log_value((f"final_{split}", "success"), values["success"], window=1)

    def cleanup(self) -> None:
        """Close the run folder and end every actor."""
        try:
            super().cleanup()
        finally:
            if self._folder is not None:
                self._folder.close()

    def _open(self, config: CurioConfig) -> RunFolder:
        run = config.run_config
        if not holds_a_run(run.output):
            return RunFolder.create(run.output, run)
        folder = RunFolder.open(run.output)
        checkpoint = folder.latest_checkpoint()
        if checkpoint is not None:
            self.restore_from_path(str(checkpoint.absolute()))
        folder.rewind(self.trainer.iteration)
        return folder

    def _measure_start(self, folder: RunFolder) -> None:
        """Evaluate the start policy, once in a run; the monitors compare with it."""
        if not (lines := folder.metrics()):
            folder.write_metrics(0, self.measure(self.config.run_config.evaluation.users))
            lines = folder.metrics()
        self.trainer.start = Standing.of_start(lines[0])

    def _evaluated(self, iteration: int, figures: Mapping[str, Any], best: bool) -> None:
        self._gates.evaluated(iteration, figures)

    def _log(self, folder: RunFolder) -> None:
        assert self.last_iteration is not None
        last = self.last_iteration
        last.record_into(folder, self.trainer.task.user_types)
        stops = self._gates.check(last.number, last.metrics)
        if stops or self.config.run_config.training.saves_after(last.number):
            self.save_into(folder)
        if stops:
            raise stopped_by(stops)


def _of_split(split: Split, figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(f"{split}/"): value for name, value in figures.items()}
