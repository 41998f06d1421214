"""The runs of a comparison as one Ray Tune experiment."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from curio_ray.compare.runs import LOGS_FOLDER, is_finished, run_cpus
from curio_ray.compare.trial import ComparedCurio
from curio_ray.config import RunConfig
from curio_ray.errors import CurioError
from curio_ray.log_files import link_process_logs
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.run_folder.existing_runs import next_free
from curio_ray.training.algorithm import CurioConfig

_REPORTS_PER_RUN = 4


def train_runs(
    runs: Sequence[RunConfig],
    at_once: int | None,
    folder: Path,
    say: Callable[[str], None],
) -> bool:
    """Train and evaluate every run, some of them at once.

    Args:
        runs: at least one; they differ in reward, seed and output.
        at_once: at most so many; None leaves it to what the cluster has room for.
        folder: the comparison's.
        say: told how the runs go.

    Returns:
        Whether all are finished now; False where the experiment was interrupted.

    Raises:
        CurioError: runs failed; the others have gone on to their end.
    """
    # paths in a config are relative to the folder of the command
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    session = connect_to_ray(_with_room(runs[0], at_once))
    link_process_logs(folder / LOGS_FOLDER, session.folder)
    try:
        results = _tuner(runs, at_once, folder, say).fit()
    finally:
        ray.shutdown()
    if results.errors:
        reasons = "\n  ".join(str(error).strip().splitlines()[-1] for error in results.errors)
        raise CurioError(
            f"{len(results.errors)} of {len(runs)} runs failed; the same command goes on with "
            f"them, and {folder / LOGS_FOLDER} tells more:\n  {reasons}"
        )
    return all(is_finished(run) for run in runs)


def _tuner(
    runs: Sequence[RunConfig], at_once: int | None, folder: Path, say: Callable[[str], None]
) -> tune.Tuner:
    space = CurioConfig.from_run_config(runs[0])
    space.run = tune.grid_search([run.model_dump(mode="json") for run in runs])
    storage = folder.absolute() / "tune"
    return tune.Tuner(
        ComparedCurio,
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=at_once,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=next_free(storage / "experiment").name,
            storage_path=str(storage),
            stop={"training_iteration": runs[0].training.iterations},
            callbacks=[_Progress(len(runs), runs[0].training.iterations, say)],
            verbose=0,
        ),
    )


def _with_room(run: RunConfig, at_once: int | None) -> RunConfig:
    """The config of a Ray whose logical CPUs suffice for the runs that are wanted at once."""
    if run.cluster.address is not None or at_once is None:
        return run
    offered = run.cluster.cpus or len(os.sched_getaffinity(0))
    cpus = max(offered, math.ceil(at_once * run_cpus(run)))
    return run.model_copy(update={"cluster": run.cluster.model_copy(update={"cpus": cpus})})


def _trial_name(trial: Any) -> str:
    return Path(trial.config["run"]["output"]).name


class _Progress(tune.Callback):
    """Says a line when a run starts, a few times on its way, and when it ends."""

    def __init__(self, runs: int, iterations: int, say: Callable[[str], None]) -> None:
        self._runs = runs
        self._iterations = iterations
        self._say = say
        self._ended = 0

    def __getstate__(self) -> dict[str, Any]:
        # Tune writes its callbacks to a file, and a terminal cannot be written
        return {name: value for name, value in vars(self).items() if name != "_say"}

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._say(f"{_trial_name(trial)}: starting")

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        number = result["training_iteration"]
        if number % max(1, self._iterations // _REPORTS_PER_RUN) == 0 and "success" in result:
            line = f"{_trial_name(trial)}: iteration {number}/{self._iterations}"
            self._say(f"{line}, success {result['success']:.3f}")

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._end(trial, "finished")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._end(trial, "failed")

    def _end(self, trial: Any, how: str) -> None:
        self._ended += 1
        self._say(f"{_trial_name(trial)}: {how}; {self._ended} of {self._runs} runs are over")
