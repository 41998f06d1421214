"""The core of training: collect, score, credit, learn, push. Knows nothing of RLlib."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curio_ray.config import RunConfig
from curio_ray.dialogue import Dialogue
from curio_ray.errors import CheckpointError
from curio_ray.evaluation.checkpoint import POLICY_FOLDER
from curio_ray.evaluation.measures import dialogue_metrics, staleness, stalled_share
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.evaluation.split import hold_with_split, split_metrics
from curio_ray.learner.batch import (
    SequenceScore,
    log_prob_differences,
    sequence_from_dialogue,
    with_credit,
)
from curio_ray.learner.group import LearnerGroup
from curio_ray.models.launch import ServerSet, start_servers
from curio_ray.models.weight_transfer.plugin import SHARED_MEMORY
from curio_ray.models.weight_transfer.push import push_weights, setup_weight_transfer
from curio_ray.placement.reservation import Reservation
from curio_ray.rewards.advantages import batch_advantages
from curio_ray.rewards.streams import assign_intrinsic_reward, assign_penalties
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.batch import Runners, collect_full_batch, make_assignments
from curio_ray.rollout.clock import collection_parts
from curio_ray.tasks.base import Split
from curio_ray.tasks.registry import make_task
from curio_ray.tasks.stream import UserStream

STATE_FILE = "trainer.json"
LEARNER_FOLDER = "learner"


@dataclass(slots=True)
class Iteration:
    """One finished iteration: its metrics by name, and the dialogues it learned from."""

    number: int
    metrics: dict[str, Any]
    dialogues: list[Dialogue]


@dataclass(slots=True)
class PhaseClock:
    """Seconds spent in each phase of an iteration."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a block under a name."""
        start = time.perf_counter()
        yield
        self.seconds[f"time/{name}"] = time.perf_counter() - start


class Trainer:
    """Servers, learner and users of one run, and the step that brings them together.

    Constructing it starts the actors in their places, by default anywhere, without waiting for
    them; `wait_ready` waits.
    """

    def __init__(self, config: RunConfig, reservation: Reservation | None = None) -> None:
        self.config = config
        self.task = make_task(config.task, config.seed)
        self._stream = UserStream(self.task.users("train"), config.seed)
        self._second_user_model = make_second_user_model(config, self.task)
        self.learner = LearnerGroup(config, reservation)
        self.servers: ServerSet = start_servers(config, reservation)
        self.learner.start()
        self.iteration = 0
        self.dialogues = 0
        self._started = 0
        self.version = 0
        self.first_dialogue_at: float | None = None

    def wait_ready(self) -> None:
        """Wait until servers and learner answer, and join them for weight transfer."""
        self.servers.wait_ready()
        self.learner.wait_ready()
        self._connect()
        self.watch = self.servers.watch()

    def check_servers(self) -> None:
        """Let lost replicas that are back serve again; to be called while dialogues are held.

        Raises:
            DeadlineError: a lost replica is not back within `cluster.recovery_deadline_s`.
            ServerError: a lost replica cannot come back.
        """
        self.watch.check(self._renew)

    def step(self, runners: Runners) -> Iteration:
        """One iteration of the algorithm."""
        clock = PhaseClock()
        with clock.phase("collect"):
            batch = self._collect(runners)
        dialogues = batch.dialogues
        with clock.phase("score"):
            sequences = [sequence_from_dialogue(dialogue) for dialogue in dialogues]
            scores = self.learner.score(sequences)
        with clock.phase("credit"):
            advantages, targets = self._credit(dialogues, scores)
            credited = [
                with_credit(*each)
                for each in zip(sequences, scores, advantages, targets, strict=True)
            ]
        with clock.phase("learn"):
            learned = self.learner.update(credited)
        with clock.phase("weights"):
            self.version += 1
            pushed = self._push_weights()
        self.iteration += 1
        self.dialogues += len(dialogues)
        metrics = {
            "dialogues": self.dialogues,
            "dialogues_per_second": len(dialogues) / sum(clock.seconds.values()),
            "dialogue_seconds": batch.seconds.total / batch.seconds.dialogues,
            **dialogue_metrics(dialogues, self.task),
            **self._stalled(dialogues),
            "staleness": staleness(dialogues, self.version - 1),
            **log_prob_differences(sequences, scores),
            **learned,
            "retries": batch.retries,
            "replaced": len(batch.failures),
            "weight_version": self.version,
            **clock.seconds,
            **collection_parts(clock.seconds["time/collect"], batch.seconds),
            **{f"time/weights_{phase}": seconds for phase, seconds in pushed.items()},
        }
        return Iteration(self.iteration, metrics, dialogues)

    def measure(self, runners: Runners, users: int, split: Split = "held_out") -> dict[str, Any]:
        """What `split_metrics` tells of the present policy; always the same users and seeds."""
        config = self.config
        batch = hold_with_split(runners, self.task, config, users, config.seed, split)
        self._note_first_dialogue(batch)
        second = self._second_user_model
        reread = None if second is None else second.read(batch.dialogues, self.servers)
        alarms = config.evaluation.alarms
        return dict(split_metrics(batch.dialogues, self.task, alarms, config.seed, split, reread))

    def save(self, folder: Path) -> None:
        """Write everything that the next step depends on into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.learner.save(folder / LEARNER_FOLDER)
        self.learner.export_policy(folder / POLICY_FOLDER)
        state = {
            "iteration": self.iteration,
            "dialogues": self.dialogues,
            "started": self._started,
            "version": self.version,
            "users": self._stream.state(),
        }
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2))

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote; the servers get the restored weights.

        Raises:
            CheckpointError: the folder is not a whole checkpoint.
        """
        try:
            state = json.loads((folder / STATE_FILE).read_text())
            self._stream.restore(state["users"])
            self.iteration, self.dialogues = state["iteration"], state["dialogues"]
            self._started, self.version = state["started"], state["version"]
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{folder} is not a checkpoint of this run: {error}; name another one"
            ) from error
        self.learner.load(folder / LEARNER_FOLDER)
        self._push_weights()

    def shutdown(self) -> None:
        """End servers and learner."""
        try:
            self.learner.shutdown()
        finally:
            self.servers.shutdown()

    def _collect(self, runners: Runners) -> RolloutBatch:
        training, group_size = self.config.training, self.config.credit.group_size

        def draw(count: int) -> list[Assignment]:
            users = self._stream.take(count, repeat=group_size)
            assignments = make_assignments("train", users, self._started, self.config.seed)
            self._started += count
            return assignments

        batch = collect_full_batch(
            runners, draw, training.dialogues_per_iteration, group_size, self._options()
        )
        self._note_first_dialogue(batch)
        for dialogue in batch.dialogues:
            assign_intrinsic_reward(
                dialogue, self.config.rewards.intrinsic, self.config.credit.discount
            )
            assign_penalties(dialogue, self.config.rewards.penalties)
        return batch

    def _credit(
        self, dialogues: list[Dialogue], scores: list[SequenceScore]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        values = [score.values for score in scores]
        return batch_advantages(dialogues, values, self.config.rewards, self.config.credit)

    def _push_weights(self) -> dict[str, float]:
        policy = self.config.roles.policy.server
        replicas = self.watch.present(policy)
        if self._members_are_fixed and len(replicas) < len(self.servers.replicas(policy)):
            self._connect(replicas)
        return self._push_to(replicas, self.watch.mark_lost)

    def _renew(self, server: str, actor: Any) -> None:
        """Give the present weights to a replica that has started anew, where it needs them."""
        if server != self.config.roles.policy.server:
            return
        replicas = [actor]
        if self._members_are_fixed:
            replicas += self.watch.present(server)
        self._connect(replicas)
        self._push_to(replicas)

    @property
    def _members_are_fixed(self) -> bool:
        """Whether all replicas belong to one group, which is made anew when one comes or goes."""
        return self.config.weights.backend != SHARED_MEMORY

    def _connect(self, replicas: Sequence[Any] | None = None) -> None:
        config, policy = self.config, self.config.roles.policy.server
        setup_weight_transfer(self.learner, self.servers, policy, config.weights, replicas)

    def _push_to(
        self, replicas: Sequence[Any], on_loss: Callable[[Any], None] | None = None
    ) -> dict[str, float]:
        config, policy = self.config, self.config.roles.policy.server
        return push_weights(
            self.learner, self.servers, policy, self.version, config.weights, replicas, on_loss
        )

    def _stalled(self, dialogues: list[Dialogue]) -> dict[str, float]:
        if self.config.rollout.stall is None:
            return {}
        return {"stalled": stalled_share(dialogues)}

    def _options(self) -> RolloutOptions:
        rollout = self.config.rollout
        return RolloutOptions(
            temperature=self.config.roles.policy.temperature,
            judged=self.config.rewards.task.source == "reward_model",
            attempts=rollout.attempts,
            in_flight=rollout.dialogues_in_flight,
            deadline_s=rollout.dialogue_deadline_s,
            stall=rollout.stall,
            beliefs_before_replies=self.config.rewards.intrinsic.attribution == "reply",
            quality=tuple(self.config.rewards.quality),
        )

    def _note_first_dialogue(self, batch: RolloutBatch) -> None:
        if self.first_dialogue_at is None:
            self.first_dialogue_at = batch.first_dialogue_at
