"""The core of training: collect, score, credit, learn, push. Knows nothing of RLlib."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue
from curio_ray.errors import CheckpointError
from curio_ray.evaluation.collect import collect_evaluation, evaluation_options, is_judged
from curio_ray.evaluation.course import Standing
from curio_ray.evaluation.measures import dialogue_metrics, staleness, stalled_share
from curio_ray.evaluation.metrics import evaluation_metrics
from curio_ray.evaluation.reader_check import check_readers
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.learner.group import LearnerGroup
from curio_ray.learner.sequences import (
    TrainingSequence,
    log_prob_differences,
    sequence_from_dialogue,
    with_credit,
    with_references,
)
from curio_ray.placement.reservation import Reservation, reserve
from curio_ray.rewards.advantages import RunningDeviation, batch_advantages
from curio_ray.rewards.registry import make_reward
from curio_ray.rewards.streams import assign_intrinsic_reward, assign_penalties
from curio_ray.roles.roles import RoleFormats
from curio_ray.rollout.assignment import training_options
from curio_ray.rollout.batches import Runners, TrainingBatches
from curio_ray.rollout.clock import collection_parts
from curio_ray.rollout.failures import failure_metrics
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.run_folder.checkpoints import POLICY_FOLDER
from curio_ray.serving.launch import ServerSet, start_servers
from curio_ray.tasks.base import Split
from curio_ray.tasks.registry import make_task
from curio_ray.training.iteration import Iteration, PhaseClock
from curio_ray.training.supervisor import Supervisor

STATE_FILE = "trainer.json"
LEARNER_FOLDER = "learner"


@dataclass(frozen=True, slots=True)
class Scored:
    """Sequences to learn from; where they were scored, the values before their policy turns.

    `agreement` tells how far the log-probs of learner and server differ.
    """

    sequences: list[TrainingSequence]
    values: list[np.ndarray] | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)


class Trainer:
    """Servers, learner and users of one run, and the step that brings them together.

    Constructing it starts the actors in their places, by default anywhere, without waiting for
    them. `wait_ready` waits for the servers; the learner is waited for where it is first needed,
    after the first dialogues. `output` is the folder that learner ranks must share with this
    process, where one is given.
    """

    def __init__(
        self,
        config: RunConfig,
        reservation: Reservation | None = None,
        output: Path | None = None,
    ) -> None:
        self.config = config
        self.task = make_task(config.task, config.seed)
        self._intrinsic = make_reward(config.rewards.intrinsic)
        users = self.task.users("train")
        self._batches = TrainingBatches(config, users, training_options(config))
        self._second_user_model = make_second_user_model(config, self.task)
        self.learner = LearnerGroup(config, reservation, output)
        self.servers: ServerSet = start_servers(config, reservation)
        self.learner.start()
        self.supervisor = Supervisor(config, self.servers, self.learner)
        self.running_deviation = RunningDeviation()
        self.iteration = 0
        self.dialogues = 0
        self.first_dialogue_at: float | None = None
        self.start: Standing | None = None
        """Where the start policy stood, which later figures are compared with."""

    def wait_ready(self) -> None:
        """Wait until the servers answer."""
        self.supervisor.wait_ready()

    def check_readers(self, formats: RoleFormats) -> None:
        """Ask every reader about real openings; the servers must be ready.

        Raises:
            ServerError: one answers with something else than its labels.
        """
        options = training_options(self.config), evaluation_options(self.task, self.config)
        second = self._second_user_model
        check_readers(self.config, self.task, formats, self.servers, options, second)

    def step(self, runners: Runners) -> Iteration:
        """One iteration of the algorithm."""
        clock, supervisor = PhaseClock(), self.supervisor
        with clock.phase("collect"):
            wanted = self.config.training.iterations - self.iteration
            batch, collecting = supervisor.during(self._batches.next, runners, wanted)
            self._note_first_dialogue(batch)
        supervisor.join()
        with clock.phase("score"):
            scored = self._score(batch.dialogues)
        with clock.phase("credit"):
            credited, credit_metrics = self._credit(batch.dialogues, scored)
        with clock.phase("learn"):
            learned = self.learner.update(credited)
        with clock.phase("weights"):
            pushed = supervisor.push(supervisor.version + 1)
        self.iteration += 1
        self.dialogues += len(batch.dialogues)
        stalls = self.config.rollout.stall is not None
        stalled = {"stalled": stalled_share(batch.dialogues)} if stalls else {}
        metrics = {
            "dialogues": self.dialogues,
            "dialogues_per_second": len(batch.dialogues) / sum(clock.seconds.values()),
            "dialogue_seconds": batch.seconds.total / batch.seconds.dialogues,
            "collection_seconds": collecting,
            **dialogue_metrics(batch.dialogues, self.task, is_judged(self.config), self.start),
            **stalled,
            **staleness(batch.dialogues, supervisor.version - 1),
            **scored.agreement,
            **credit_metrics,
            **learned,
            "retries": batch.retries,
            "replaced": len(batch.failures),
            **failure_metrics(batch.failures, len(batch.dialogues), self.task.user_types),
            "weight_version": supervisor.version,
            **clock.seconds,
            **collection_parts(clock.seconds["time/collect"], batch.seconds),
            **{f"time/weights_{phase}": seconds for phase, seconds in pushed.items()},
            "runner_restarts": runners.restarts,
            "server_restarts": supervisor.restarts,
        }
        return Iteration(self.iteration, metrics, batch.dialogues, batch.failures)

    def settle(self) -> None:
        """Wait until no dialogue is held; what was collected ahead stays for its turn."""
        self.supervisor.during(self._batches.settle)

    def measure(self, runners: Runners, users: int, split: Split = "held_out") -> dict[str, Any]:
        """The evaluation figures of the present policy; always the same users and seeds."""
        config = self.config
        self.settle()
        batch = self.supervisor.during(
            collect_evaluation, runners, self.task, config, users, config.seed, split
        )
        self._note_first_dialogue(batch)
        second = self._second_user_model
        reread = None if second is None else second.read(batch.dialogues, self.servers)
        alarms = config.evaluation.alarms
        return dict(
            evaluation_metrics(
                batch.dialogues, self.task, alarms, config.seed, split, reread, batch.failures,
                is_judged(config), self.start,
            )
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write everything that the next step depends on into a folder.

        Dialogues that nothing was learned from yet are left out: their users come again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.supervisor.join()
        self.learner.save(folder / LEARNER_FOLDER)
        self.learner.export_policy(folder / POLICY_FOLDER)
        state = {
            "iteration": self.iteration,
            "dialogues": self.dialogues,
            "version": self.supervisor.version,
            "running_deviation": asdict(self.running_deviation),
            **self._batches.state(),
        }
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2))

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote; the servers get the restored weights.

        Raises:
            CheckpointError: the folder is not a whole checkpoint.
        """
        try:
            state = json.loads((folder / STATE_FILE).read_text())
            self._batches.restore(state)
            self.iteration, self.dialogues = state["iteration"], state["dialogues"]
            version = state["version"]
            self.running_deviation = RunningDeviation(**state["running_deviation"])
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{folder} is not a checkpoint of this run: {error}; name another one"
            ) from error
        self.supervisor.join()
        self.learner.load(folder / LEARNER_FOLDER)
        self.supervisor.push(version)

    def shutdown(self) -> None:
        """End servers and learner, after the runners were told to stop."""
        self._batches.close()
        self.supervisor.close()
        try:
            self.learner.shutdown()
        finally:
            self.servers.shutdown()

    def _score(self, dialogues: list[Dialogue]) -> Scored:
        """The dialogues in tokens, and where the learner needs it a pass over them first."""
        version = self.supervisor.version
        mask = self.config.rollout.truncated == "mask"
        sequences = [sequence_from_dialogue(dialogue, version, mask) for dialogue in dialogues]
        if not self._scores_first:
            return Scored(sequences)
        scores = self.learner.score(sequences)
        return Scored(
            with_references(sequences, scores),
            [score.values for score in scores],
            log_prob_differences(sequences, scores),
        )

    def _credit(
        self, dialogues: list[Dialogue], scored: Scored
    ) -> tuple[list[TrainingSequence], Mapping[str, float]]:
        """The sequences with the advantages that their rewards give them, and figures of these."""
        self._reward(dialogues)
        credit = batch_advantages(
            dialogues,
            scored.values,
            self.config.rewards,
            self.config.credit,
            self.running_deviation,
        )
        each = zip(scored.sequences, credit.advantages, credit.targets, strict=True)
        return [with_credit(*parts) for parts in each], credit.metrics

    @property
    def _scores_first(self) -> bool:
        """Whether a pass before the update pays: for values, or for references of every epoch."""
        learner = self.config.learner
        several_times = learner.has_kl and learner.epochs > 1
        return self.config.credit.estimator == "gae" or several_times

    def _reward(self, dialogues: list[Dialogue]) -> None:
        rewards, discount = self.config.rewards, self.config.credit.discount
        for dialogue in dialogues:
            assign_intrinsic_reward(dialogue, self._intrinsic, rewards.intrinsic, discount)
            assign_penalties(dialogue, rewards.penalties)

    def _note_first_dialogue(self, batch: RolloutBatch) -> None:
        if self.first_dialogue_at is None:
            self.first_dialogue_at = batch.first_dialogue_at


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run's places, and the trainer whose servers and learner are loading in them."""

    reservation: Reservation
    trainer: Trainer

    def close(self) -> None:
        """End servers and learner and give the places back."""
        try:
            self.trainer.shutdown()
        finally:
            self.reservation.release()


def start_run(
    config: RunConfig,
    say: Callable[[str], None] | None = None,
    output: Path | None = None,
) -> StartedRun:
    """Reserve a run's places and let its servers and learner load there; does not wait for them.

    `say` is told which nodes are waited for. `output` is as in `Trainer`.

    Raises:
        PreflightError: the places cannot be had, now or later.
        DeadlineError: they were not free within `cluster.capacity_deadline_s`.
    """
    reservation = reserve(config, say)
    try:
        return StartedRun(reservation, Trainer(config, reservation, output))
    except BaseException:
        reservation.release()
        raise
