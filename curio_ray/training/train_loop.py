"""The driver's loop of `curio train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil
import ray

from curio_ray.config import RunConfig
from curio_ray.errors import CheckpointError
from curio_ray.evaluation.course import Standing
from curio_ray.heavy_imports import RLLIB_SHELL, import_ahead
from curio_ray.log_files import link_process_logs
from curio_ray.placement.ray_session import connect_to_ray
from curio_ray.process_memory import MemorySampler
from curio_ray.rollout.failures import describe, failed
from curio_ray.run_folder import RunFolder, Summary
from curio_ray.run_folder.alarms import summarise_alarms
from curio_ray.run_folder.checkpoints import iteration_of
from curio_ray.training.evaluations import Evaluations
from curio_ray.training.gates import Gates, stopped_by
from curio_ray.training.notices import Notices
from curio_ray.training.progress import ProgressDisplay
from curio_ray.training.run_clock import RUN_SECONDS, RunClock
from curio_ray.training.stop import StopRequest
from curio_ray.training.trainer import start_run

if TYPE_CHECKING:
    from curio_ray.training.algorithm import Curio


def train(
    config: RunConfig,
    run: RunFolder,
    progress: ProgressDisplay,
    resume: bool,
    stop: StopRequest,
) -> Summary | None:
    """Train from the start, or from the run's newest checkpoint, to the last iteration.

    Returns:
        The run's summary, or None where it was asked to stop before the end; then a checkpoint
        of the last finished iteration is there to resume from.

    Raises:
        StoppedByGateError: a figure crossed `training.stops`; the iteration is saved.
        CurioError: something could not be started, hung, or could not be recovered.
    """
    started_at = psutil.Process().create_time()
    clock = RunClock.resumed(started_at, run.metrics()) if resume else RunClock(started_at)
    import_ahead(RLLIB_SHELL)
    run.track()
    with MemorySampler() as memory:
        progress.phase("starting Ray")
        session = connect_to_ray(config)
        link_process_logs(run.logs, session.folder)
        run.note(session.links())
        for name, link in run.notes().items():
            progress.say(f"{name.replace('_', ' ')}: {link}")
        stop.listen()
        try:
            algorithm = _build(config, run, progress)
            try:
                finished = _run(algorithm, config, run, progress, resume, stop, clock)
            finally:
                algorithm.stop()
        finally:
            ray.shutdown()
    if finished is None:
        return None
    finished["seconds_total"] = clock.run_seconds
    finished["seconds_since_resumed"] = clock.command_seconds if resume else None
    # the processes of a Ray that was there before are not this one's, but for the driver
    alone = config.cluster.address is None
    finished["peak_memory_bytes"] = memory.peak_bytes if alone else None
    summary = run.write_summary(finished)
    progress.finish(summary.model_dump())
    return summary


def _run(
    algorithm: Curio,
    config: RunConfig,
    run: RunFolder,
    progress: ProgressDisplay,
    resume: bool,
    stop: StopRequest,
    clock: RunClock,
) -> dict[str, Any] | None:
    resumed_after = _restore(algorithm, run, progress) if resume else None
    gates = Gates(config, run, progress.say)

    def tell(iteration: int, figures: Mapping[str, Any], best: bool) -> None:
        progress.evaluation(iteration, figures, best)
        gates.evaluated(iteration, figures)

    evaluations = Evaluations(algorithm, config, run, progress.phase, tell)
    if not resume:
        start = evaluations.measure("before training")
        first = algorithm.trainer.first_dialogue_at or time.time()
        start["seconds_to_first_dialogue"] = first - clock.started_at
        start[RUN_SECONDS] = clock.run_seconds
        run.write_metrics(0, start)
        if stop.requested:
            algorithm.save_into(run)
            return None
    before = _first_evaluation(run)
    algorithm.trainer.start = Standing.of_start(before)
    evaluations.after(algorithm.trainer.iteration)
    notices = Notices()
    while algorithm.trainer.iteration < config.training.iterations:
        algorithm.train()
        iteration, metrics = _log(algorithm, run, progress, notices, clock)
        stops = gates.check(iteration, metrics)
        stopping = stop.requested
        if stops or stopping or config.training.saves_after(iteration):
            algorithm.save_into(run)
        if stops:
            raise stopped_by(stops)
        if stopping:
            return None
        evaluations.after(iteration)
        if stop.requested and iteration < config.training.iterations:
            if not run.holds_checkpoint(iteration):
                algorithm.save_into(run)
            return None
    after = evaluations.write(algorithm.trainer.iteration)
    return {**_result(algorithm, config, run, before, after), "resumed_after": resumed_after}


def _result(
    algorithm: Curio,
    config: RunConfig,
    run: RunFolder,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> dict[str, Any]:
    """The run's summary but for its time and memory, from its first and last evaluation."""
    best = run.best_checkpoint()
    return {
        "task": config.task.name,
        "intrinsic": config.rewards.intrinsic.name,
        "seed": config.seed,
        "iterations": algorithm.trainer.iteration,
        "dialogues": algorithm.trainer.dialogues,
        "held_out_users": after["held_out/users"],
        "success_before": before["held_out/success"],
        "success_after": after["held_out/success"],
        "belief_before": before["held_out/belief"],
        "belief_after": after["held_out/belief"],
        "seconds_to_first_dialogue": before["seconds_to_first_dialogue"],
        "alarms": summarise_alarms(run.alarms()),
        "failed_dialogues": sum(each["kind"] != "group" for each in run.failures()),
        "best_iteration": None if best is None else iteration_of(best),
    }


def _first_evaluation(run: RunFolder) -> dict[str, Any]:
    lines = run.metrics()
    if not lines or lines[0]["iteration"] != 0:
        raise CheckpointError(
            f"{run.path}: metrics.jsonl does not begin with the evaluation before training; "
            "start a new run"
        )
    return lines[0]


def _build(config: RunConfig, run: RunFolder, progress: ProgressDisplay) -> Curio:
    progress.phase("starting servers, learner and dialogue runners")
    started = start_run(config, progress.phase, run.path)
    try:
        # By now imported ahead, or servers and learner load meanwhile
        from curio_ray.training.algorithm import Curio, CurioConfig

        wrapped = CurioConfig.from_run_config(config)
    except BaseException:
        started.close()
        raise
    return Curio(wrapped, started=started)


def _restore(algorithm: Curio, run: RunFolder, progress: ProgressDisplay) -> int:
    """Take up the newest checkpoint; the iteration that it was saved after."""
    checkpoint = run.latest_checkpoint()
    if checkpoint is None:
        raise CheckpointError(f"{run.path}: holds no checkpoint to resume from; start a new run")
    progress.phase(f"restoring {checkpoint.name}")
    algorithm.restore_from_path(str(checkpoint.absolute()))
    run.rewind(algorithm.trainer.iteration)
    return algorithm.trainer.iteration


def _log(
    algorithm: Curio,
    run: RunFolder,
    progress: ProgressDisplay,
    notices: Notices,
    clock: RunClock,
) -> tuple[int, Mapping[str, Any]]:
    """Keep and show the last iteration; its number and its figures."""
    iteration = algorithm.last_iteration
    assert iteration is not None
    types = algorithm.trainer.task.user_types
    iteration.metrics[RUN_SECONDS] = clock.run_seconds
    iteration.record_into(run, types)
    if failed(iteration.failures):
        progress.say(
            f"warning: iteration {iteration.number}: others take the place of "
            f"{describe(iteration.failures, types)}"
        )
    for line in notices.of(iteration.number, iteration.metrics):
        progress.say(line)
    progress.iteration({"iteration": iteration.number, **iteration.metrics})
    return iteration.number, iteration.metrics
