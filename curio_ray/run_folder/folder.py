"""The run folder: where a run's config, metrics, dialogues, checkpoints, logs and summary lie."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curio_ray.config import RunConfig, dump_config
from curio_ray.errors import CheckpointError, ConfigError
from curio_ray.run_folder.alarms import Alarm, AlarmSummary, read_alarms
from curio_ray.run_folder.atomic import write_atomically
from curio_ray.run_folder.checkpoints import Checkpoints, iteration_name, iteration_of
from curio_ray.run_folder.existing_runs import (
    ALARMS_FILE,
    CHECKPOINTS_FOLDER,
    CONFIG_FILE,
    DIALOGUES_FOLDER,
    EVALUATION_FILE,
    FAILURES_FILE,
    METRICS_FILE,
    NOTES_FILE,
    SUMMARY_FILE,
    holds_a_run,
    lock_folder,
    next_free,
    read_config,
)
from curio_ray.run_folder.metrics import (
    MetricsWriter,
    append_lines,
    read_lines,
    truncate_lines,
    write_evaluation,
)
from curio_ray.tracking.trackers import TensorBoardTracker

if TYPE_CHECKING:
    from curio_ray.dialogue import Dialogue

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Duration = Annotated[float, Field(ge=0)]


class Summary(BaseModel):
    """What a run came to.

    `success_*` is the share of held-out users whose dialogue succeeded and `belief_*` the mean
    final belief in the true type, each before the first and after the last iteration. Seconds count
    from the start of the first command; `seconds_total` leaves out the breaks between the commands
    of a run that was resumed. The last of these went on `resumed_after` an iteration and took
    `seconds_since_resumed`; both are null where there was one command. `peak_memory_bytes` is of
    all processes of the last command together, and null on a Ray that it joined. `alarms` are those
    of the iterations and of their evaluations. `failed_dialogues` counts the training dialogues
    that could not be held. `best_iteration` is that of the best checkpoint, where evaluations in
    the course of training marked one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    intrinsic: str
    seed: Count
    iterations: Count
    dialogues: Count
    held_out_users: Count
    success_before: Share
    success_after: Share
    belief_before: Share
    belief_after: Share
    seconds_to_first_dialogue: Duration
    seconds_total: Duration
    seconds_since_resumed: Duration | None = None
    resumed_after: Count | None = None
    peak_memory_bytes: Count | None
    alarms: tuple[AlarmSummary, ...] = ()
    failed_dialogues: Count = 0
    best_iteration: Count | None = None


class RunFolder:
    """One run on disk. While it is open no other process can write to it."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config
        for folder in (DIALOGUES_FOLDER, CHECKPOINTS_FOLDER, "tensorboard", "logs"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(path)
        self._checkpoints = Checkpoints(
            path / CHECKPOINTS_FOLDER, keep=config.training.keep_checkpoints
        )
        self._metrics = MetricsWriter(path / METRICS_FILE)
        self._metrics.add(TensorBoardTracker(path / "tensorboard"))

    @classmethod
    def create(cls, path: str | Path, config: RunConfig) -> RunFolder:
        """Start a new run folder and write its resolved config, with the templates' clock.

        Raises:
            ConfigError: the folder already holds a run.
        """
        path = Path(path)
        if holds_a_run(path):
            goes_on = Checkpoints(path / CHECKPOINTS_FOLDER, keep=1).latest() is not None
            resume = f"continue it with 'curio train --resume {path}', " if goes_on else ""
            raise ConfigError(
                f"output: {path} already holds a run; {resume}write another folder with --output "
                f"{next_free(path)}, or move the old one out of the way with --set-aside"
            )
        run = cls(path, config.with_clock())
        run._write_config()
        return run

    @classmethod
    def open(cls, path: str | Path, overrides: Iterable[str] = ()) -> RunFolder:
        """Open an existing run folder; `overrides` change fields of its config for good.

        Raises:
            ConfigError: there is no run at `path`, or an override is wrong.
            PreflightError: another process is writing to it.
        """
        path, overrides = Path(path), tuple(overrides)
        config = read_config(path, overrides)
        run = cls(path, config)
        if overrides:
            run._write_config()
        return run

    @property
    def logs(self) -> Path:
        """The folder of the libraries' and processes' logs."""
        return self.path / "logs"

    def record(
        self,
        iteration: int,
        metrics: Mapping[str, Any],
        dialogues: Iterable[Dialogue],
        failures: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Keep a finished iteration: its metrics, its dialogues and those that failed."""
        self.write_metrics(iteration, metrics)
        self.write_dialogues(iteration, dialogues)
        self.write_failures(iteration, failures)

    def write_metrics(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Append an iteration to metrics.jsonl, TensorBoard and the trackers."""
        self._metrics.write(iteration, metrics)

    def extend_metrics(self, iteration: int, metrics: Mapping[str, Any]) -> None:
        """Add figures to the last iteration that was logged, there and in the trackers."""
        self._metrics.extend(iteration, metrics)

    def track(self) -> None:
        """Log to Prometheus and to the trackers that the config asks for, from now on.

        Raises:
            TrackingError: a tracker's run could not be started.
        """
        from curio_ray.tracking.prometheus import PrometheusTracker
        from curio_ray.tracking.trackers import open_trackers

        self._metrics.add(PrometheusTracker(self.path.name))
        for tracker in open_trackers(self.config, self.path, self.notes()):
            self._metrics.add(tracker)
            self.note(tracker.notes)

    def note(self, links: Mapping[str, str | None]) -> None:
        """Write down where else the run can be seen, by name; None takes an earlier note away."""
        before = self.notes()
        notes = {name: link for name, link in {**before, **links}.items() if link is not None}
        if notes != before:
            write_atomically(self.path / NOTES_FILE, json.dumps(notes, indent=2) + "\n")

    def notes(self) -> dict[str, str]:
        """Where else the run can be seen: addresses and ids by name."""
        file = self.path / NOTES_FILE
        return json.loads(file.read_text()) if file.is_file() else {}

    def metrics(self) -> list[dict[str, Any]]:
        """All iterations logged so far."""
        return read_lines(self.path / METRICS_FILE)

    def add_alarms(self, iteration: int, alarms: Iterable[Alarm]) -> None:
        """Append an iteration's alarms to alarms.jsonl."""
        append_lines(self.path / ALARMS_FILE, iteration, [asdict(each) for each in alarms])

    def alarms(self) -> list[Alarm]:
        """All alarms raised so far."""
        return read_alarms(self.path / ALARMS_FILE)

    def write_dialogues(self, iteration: int, dialogues: Iterable[Dialogue]) -> Path:
        """Save the dialogues of an iteration."""
        from curio_ray.run_folder.dialogues import write_dialogues

        path = self._dialogues_file(iteration)
        write_dialogues(path, dialogues)
        return path

    def write_failures(self, iteration: int, failures: Iterable[Mapping[str, Any]]) -> None:
        """Append the dialogues of an iteration that could not be held, as plain values."""
        append_lines(self.path / FAILURES_FILE, iteration, failures)

    def failures(self) -> list[dict[str, Any]]:
        """All dialogues that could not be held so far."""
        return read_lines(self.path / FAILURES_FILE)

    def read_dialogues(self, iteration: int) -> list[Dialogue]:
        """The dialogues of an iteration."""
        from curio_ray.run_folder.dialogues import read_dialogues

        return read_dialogues(self._dialogues_file(iteration))

    @contextmanager
    def checkpoint(self, iteration: int) -> Iterator[Path]:
        """A folder to fill; it becomes the checkpoint of `iteration` when the block ends well.

        The config is put into it, so that a checkpoint can be used away from its run.
        """
        with self._checkpoints.write(iteration) as folder:
            (folder / CONFIG_FILE).write_text(dump_config(self.config))
            yield folder

    def latest_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        return self._checkpoints.latest()

    def best_checkpoint(self) -> Path | None:
        """The checkpoint that was best on held-out users, where one was marked."""
        return self._checkpoints.best()

    def holds_checkpoint(self, iteration: int) -> bool:
        """Whether there is a complete checkpoint of an iteration."""
        return any(iteration_of(each) == iteration for each in self._checkpoints.all())

    def mark_best(self, iteration: int) -> None:
        """Keep the checkpoint of an iteration as the best one, from now on."""
        self._checkpoints.mark_best(iteration)

    def rewind(self, iteration: int) -> None:
        """Forget all that came after `iteration`, where a resumed run starts."""
        for name in (METRICS_FILE, FAILURES_FILE, ALARMS_FILE):
            truncate_lines(self.path / name, iteration)
        for file in (self.path / DIALOGUES_FOLDER).iterdir():
            if (number := iteration_of(file)) is not None and number > iteration:
                file.unlink()
        for name in (SUMMARY_FILE, EVALUATION_FILE):
            (self.path / name).unlink(missing_ok=True)

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Save the evaluation after the last iteration, whole."""
        write_evaluation(self.path / EVALUATION_FILE, evaluation)

    def write_summary(self, values: Summary | Mapping[str, Any]) -> Summary:
        """Check and save the run's summary."""
        summary = values if isinstance(values, Summary) else Summary.model_validate(dict(values))
        write_atomically(self.path / SUMMARY_FILE, summary.model_dump_json(indent=2) + "\n")
        return summary

    def summary(self) -> Summary | None:
        """The summary of a finished run, or None."""
        file = self.path / SUMMARY_FILE
        if not file.exists():
            return None
        try:
            return Summary.model_validate(json.loads(file.read_text()))
        except (ValidationError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{file}: is damaged; remove it: {error}") from error

    def close(self) -> None:
        """Close the logs and let other processes write."""
        self._metrics.close(self.config.training.iterations)
        self._lock.close()

    def _dialogues_file(self, iteration: int) -> Path:
        return self.path / DIALOGUES_FOLDER / f"{iteration_name(iteration)}.parquet"

    def _write_config(self) -> None:
        write_atomically(self.path / CONFIG_FILE, dump_config(self.config))
