"""The learner as Ray actors: its ranks, and the group of them that the driver speaks to.

Every wait has a deadline. Nothing heavy is imported before a rank has its threads.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from curio_ray.actor_calls import ActorKind
from curio_ray.config.run import RunConfig
from curio_ray.errors import LearnerError
from curio_ray.heavy_imports import hide_gpus, when_idle, without_collections
from curio_ray.known_tokens import unknown_ids
from curio_ray.learner.sequences import SequenceScore, TrainingSequence, check_finite
from curio_ray.learner.shared_folder import (
    FolderProbe,
    RankMark,
    check_arrived,
    file_sizes,
    leave_mark,
)
from curio_ray.model_paths import locate_model
from curio_ray.placement.layout import learner_bundle
from curio_ray.placement.reservation import Reservation
from curio_ray.template_files import keep_template

if TYPE_CHECKING:
    from curio_ray.learner.engine import LearnerEngine
    from curio_ray.weights.sync import WeightSender

CLOSE_DEADLINE_S = 5.0
RANKS = ActorKind(
    LearnerError,
    LearnerError,
    "go on from the last checkpoint with curio train --resume RUN",
)


class LearnerRank:
    """A `LearnerEngine` in its own process, with the sender of its weights."""

    def __init__(self, config: RunConfig, model_path: str, rank: int) -> None:
        self._config = config
        self._model_path = model_path
        self._rank = rank
        self._engine: LearnerEngine | None = None
        self._sender: WeightSender | None = None
        self._port: socket.socket | None = None
        if config.learner.gpus_per_rank == 0:
            hide_gpus()
        os.environ["OMP_NUM_THREADS"] = str(config.learner.threads)
        # A thread that sleeps at a barrier wakes too late for the next small operation; one that
        # spins for long takes the core that the thread it waits for needs. This is 0.1 ms or so.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def rendezvous(self) -> tuple[str, int]:
        """An address and port of this machine where the ranks can meet; kept free until they do."""
        address = ray.util.get_node_ip_address()
        if self._config.learner.port is not None:
            return address, self._config.learner.port
        self._port = socket.socket()
        self._port.bind(("", 0))
        return address, int(self._port.getsockname()[1])

    def leave_mark(self, folder: str) -> RankMark:
        """Answer the driver's probe of the output folder."""
        return leave_mark(Path(folder), self._rank, ray.util.get_node_ip_address())

    def start(self, rendezvous: tuple[str, int]) -> dict[str, Any]:
        """Import, join the group of ranks and load the model.

        Returns:
            `start_seconds` and the number of `parameters` of the language model.
        """
        started = time.perf_counter()
        # The first dialogues need servers and runners, but no learner.
        when_idle(_import_libraries)
        import torch

        from curio_ray.learner.deepspeed_setup import join_process_group
        from curio_ray.learner.engine import LearnerEngine

        config = self._config.learner
        torch.set_num_threads(config.threads)
        if self._port is not None:
            self._port.close()
        join_process_group(
            rank=self._rank,
            ranks=config.ranks,
            address=rendezvous[0],
            port=rendezvous[1],
            backend="nccl" if config.gpus_per_rank else "gloo",
            deadline_s=config.start_deadline_s,
        )
        self._engine = LearnerEngine(
            self._model_path,
            config,
            self._config.roles.policy.temperature,
            self._config.seed,
            unknown_ids(self._model_path),
            self._config.training.iterations,
            learns_value=self._config.credit.estimator == "gae",
        )
        return {
            "start_seconds": time.perf_counter() - started,
            "parameters": self._engine.policy_parameters,
        }

    def score(self, sequences: Sequence[TrainingSequence]) -> dict[int, SequenceScore]:
        """This rank's share of the scores, by index."""
        return self._started_engine.score(sequences)

    def update(self, sequences: Sequence[TrainingSequence]) -> dict[str, float]:
        """One update; every rank returns the same metrics."""
        return self._started_engine.update(sequences)

    def make_weight_sender(self, make: Callable[[int], WeightSender]) -> None:
        """Make this rank's sender, in place of the one before."""
        if self._sender is not None:
            self._sender.close()
        self._sender = make(self._rank)

    def send_weights(self, version: int) -> list[Any]:
        """Send the policy's weights in the server's type; what is left for replicas to fetch."""
        if self._sender is None:
            raise RuntimeError("make_weight_sender must be called before send_weights")
        from curio_ray.learner.model_loading import DTYPES

        weights = self._started_engine.policy_weights
        stream = weights.named_adapters if self._sender.adapters_alone else weights.named_tensors
        return self._sender.send(stream(DTYPES[self._config.policy_server.dtype]), version)

    def save(self, folder: str) -> dict[str, int]:
        """Write this rank's part of the training state; returns its files' sizes by name."""
        return file_sizes(Path(folder), self._started_engine.save(Path(folder)))

    def load(self, folder: str) -> None:
        """Take up the training state of a folder."""
        self._started_engine.load(Path(folder))

    def export_policy(self, folder: str) -> dict[str, int]:
        """Write the policy as a Hugging Face folder; rank 0 does, and returns its files' sizes."""
        self._started_engine.export_policy(Path(folder))
        if self._rank > 0:
            return {}
        server = self._config.policy_server
        keep_template(Path(folder), server.chat_template, server.chat_template_kwargs)
        return file_sizes(Path(folder), list(Path(folder).iterdir()))

    def close(self) -> None:
        """Release the sender's files and connections."""
        if self._sender is not None:
            self._sender.close()

    @property
    def _started_engine(self) -> LearnerEngine:
        if self._engine is None:
            raise RuntimeError("start must be called first")
        return self._engine


class LearnerGroup:
    """The ranks of a learner.

    Any failed or late call ends every rank, since the others would wait for it in a collective.
    `start`, `wait_ready` and `load` then bring the group back from a checkpoint; the weight
    sync must be connected again.

    Args:
        config: the run's.
        reservation: where the ranks lie; by default anywhere.
        output: a folder of which the ranks must show, before they are ready, that they write where
            the driver reads.

    Raises:
        ConfigError: there is no such model.
    """

    def __init__(
        self,
        config: RunConfig,
        reservation: Reservation | None = None,
        output: Path | None = None,
    ) -> None:
        self._config = config
        self._reservation = reservation
        self._output = output
        self._probe: FolderProbe | None = None
        self._marks: list[ray.ObjectRef] = []
        # Found here, since a rank may run in another folder.
        self._model_path = locate_model(config.policy_server.model)
        self._started: list[ray.ObjectRef] = []
        self.ranks: list[Any] = []

    def start(self) -> None:
        """Create the ranks, which begin to load at once; does not wait."""
        self.shutdown()
        actor_class = ray.remote(LearnerRank)
        self.ranks = [
            actor_class.options(**self._resources(rank)).remote(
                self._config, self._model_path, rank
            )
            for rank in range(self._config.learner.ranks)
        ]
        if self._output is not None:
            self._probe = FolderProbe(self._output)
            self._marks = [rank.leave_mark.remote(self._probe.folder) for rank in self.ranks]
        rendezvous = self.ranks[0].rendezvous.remote()
        self._started = [rank.start.remote(rendezvous) for rank in self.ranks]

    def wait_ready(self) -> list[dict[str, Any]]:
        """Wait until every rank has loaded; returns each rank's `start_seconds` and `parameters`.

        Raises:
            DeadlineError: a rank was not ready within `learner.start_deadline_s`.
            LearnerError: a rank died or failed.
            PreflightError: a rank writes where the driver does not read.
        """
        deadline_s = self._config.learner.start_deadline_s
        self._check_marks(deadline_s)
        return self._wait(self._started, "start", "learner.start_deadline_s", deadline_s)

    def check_start(self) -> None:
        """Look at ranks that may still be loading; does not wait for them.

        Raises:
            LearnerError: a rank died or failed.
            PreflightError: a rank writes where the driver does not read.
        """
        marks = len(self._marks)
        if marks and not ray.wait(self._marks, num_returns=marks, timeout=0)[1]:
            self._check_marks(0.0)
        ended = ray.wait(self._started, num_returns=len(self._started), timeout=0)[0]
        try:
            ray.get(ended)
        except RayError:
            self.wait_ready()

    def score(self, sequences: Sequence[TrainingSequence]) -> list[SequenceScore]:
        """Score sequences, in their order.

        Raises:
            DeadlineError: a rank took longer than `learner.step_deadline_s`.
            LearnerError: a rank died or failed.
        """
        shares = self._call("score", ray.put(list(sequences)))
        scores = {index: score for share in shares for index, score in share.items()}
        return [scores[index] for index in range(len(sequences))]

    def update(self, sequences: Sequence[TrainingSequence]) -> dict[str, float]:
        """Train on credited sequences; returns the metrics of `LearnerEngine.update`.

        Raises:
            DeadlineError: a rank took longer than `learner.step_deadline_s`.
            LearnerError: a rank died or failed, or a sequence holds numbers that are not finite;
                the last does not end the ranks.
        """
        check_finite(sequences)
        metrics: dict[str, float] = self._call("update", ray.put(list(sequences)))[0]
        return metrics

    def make_weight_senders(self, make: Callable[[int], WeightSender]) -> None:
        """Let every rank make its weight sender, given the rank, in place of the one before.

        Raises:
            DeadlineError: a rank took longer than `weights.deadline_s`.
            LearnerError: a rank died or failed.
        """
        self._call_for_weights("make_weight_sender", make)

    def send_weights(self, version: int) -> list[Any]:
        """Send the policy's weights; returns what is left for the replicas to fetch.

        Raises:
            DeadlineError: a rank took longer than `weights.deadline_s`.
            LearnerError: a rank died or failed.
        """
        sent: list[Any] = self._call_for_weights("send_weights", version)[0]
        return sent

    def save(self, folder: str | Path) -> None:
        """Write the whole training state; every rank writes its part.

        Raises:
            CheckpointError: what a rank has written did not reach this machine.
        """
        self._write("save", folder)

    def load(self, folder: str | Path) -> None:
        """Take up a training state saved by a group of the same shape.

        Raises:
            CheckpointError: the state is missing or of another shape; the message says which.
        """
        self._call("load", _absolute(folder))

    def export_policy(self, folder: str | Path) -> None:
        """Write the policy as a Hugging Face folder.

        Raises:
            CheckpointError: what rank 0 has written did not reach this machine.
        """
        self._write("export_policy", folder)

    def shutdown(self) -> None:
        """End every rank; returns at once where there is none."""
        if not self.ranks:
            return
        calls = [rank.close.remote() for rank in self.ranks]
        ray.wait(calls, num_returns=len(calls), timeout=CLOSE_DEADLINE_S)
        self._kill()
        if self._probe is not None:
            self._probe.remove()

    def _write(self, method: str, folder: str | Path) -> None:
        absolute = _absolute(folder)
        sizes = self._call(method, absolute)
        named = {f"learner rank {rank}": each for rank, each in enumerate(sizes)}
        check_arrived(Path(absolute), named)

    def _check_marks(self, deadline_s: float) -> None:
        if self._probe is None:
            return
        probe, self._probe = self._probe, None
        marks, self._marks = self._marks, []
        field = "learner.start_deadline_s"
        probe.check(self._wait(marks, "leave_mark", field, deadline_s))

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        deadline_s = self._config.learner.step_deadline_s
        calls = self._remote(method, arguments)
        return self._wait(calls, method, "learner.step_deadline_s", deadline_s)

    def _call_for_weights(self, method: str, *arguments: Any) -> list[Any]:
        calls = self._remote(method, arguments)
        return self._wait(calls, method, "weights.deadline_s", self._config.weights.deadline_s)

    def _remote(self, method: str, arguments: tuple[Any, ...]) -> list[ray.ObjectRef]:
        if not self.ranks:
            raise LearnerError(f"the learner does not run; call start before {method}")
        return [getattr(rank, method).remote(*arguments) for rank in self.ranks]

    def _wait(
        self, calls: Sequence[ray.ObjectRef], method: str, field: str, deadline_s: float
    ) -> list[Any]:
        try:
            named = {f"learner rank {rank}": call for rank, call in enumerate(calls)}
            return list(RANKS.wait(named, method, field, deadline_s).values())
        except BaseException:
            self._kill()
            raise

    def _kill(self) -> None:
        for rank in self.ranks:
            ray.kill(rank)
        self.ranks, self._started = [], []

    def _resources(self, rank: int) -> dict[str, Any]:
        bundle = learner_bundle(self._config)
        place = self._reservation.rank(rank) if self._reservation else {}
        return {"num_cpus": bundle.cpus, "num_gpus": bundle.gpus, "max_restarts": 0, **place}


def _absolute(folder: str | Path) -> str:
    return str(Path(folder).absolute())


def _import_libraries() -> None:
    with without_collections():
        import deepspeed  # noqa: F401
        from transformers import PreTrainedModel  # noqa: F401 - what any model imports

        import curio_ray.learner.engine  # noqa: F401
