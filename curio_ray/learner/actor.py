"""One learner rank as a Ray actor. Nothing heavy is imported before the actor has its threads."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curio_ray.config.run import RunConfig
from curio_ray.heavy_imports import when_idle, without_collections
from curio_ray.learner.batch import SequenceScore, TrainingSequence

if TYPE_CHECKING:
    from curio_ray.learner.engine import LearnerEngine
    from curio_ray.models.weight_transfer.sender import WeightSender


class LearnerRank:
    """A `LearnerEngine` in its own process, with the sender of its weights."""

    def __init__(self, config: RunConfig, model_path: str, rank: int) -> None:
        self._config = config
        self._model_path = model_path
        self._rank = rank
        self._engine: LearnerEngine | None = None
        self._sender: WeightSender | None = None
        self._port: socket.socket | None = None
        os.environ["OMP_NUM_THREADS"] = str(config.learner.threads)
        # A thread that sleeps at a barrier wakes too late for the next small operation; one that
        # spins for long takes the core that the thread it waits for needs. This is 0.1 ms or so.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def rendezvous(self) -> tuple[str, int]:
        """An address and port of this machine where the ranks can meet; kept free until they do."""
        import ray

        address = ray.util.get_node_ip_address()
        if self._config.learner.port is not None:
            return address, self._config.learner.port
        self._port = socket.socket()
        self._port.bind(("", 0))
        return address, int(self._port.getsockname()[1])

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

    def setup_weight_transfer(self, backend: str, info: dict[str, Any]) -> None:
        """Make this rank's sender, in place of the one before."""
        from curio_ray.models.weight_transfer.sender import make_sender

        if self._sender is not None:
            self._sender.close()
        self._sender = make_sender(backend, rank=self._rank, info=info)

    def send_weights(self, version: int) -> dict[str, Any]:
        """Send the policy's weights in the server's type; what the servers need to load them."""
        if self._sender is None:
            raise RuntimeError("setup_weight_transfer must be called before send_weights")
        server = self._config.servers[self._config.roles.policy.server]
        tensors = self._started_engine.named_policy_tensors(server.dtype)
        return self._sender.send(tensors, version)

    def save(self, folder: str) -> None:
        """Write this rank's part of the training state."""
        self._started_engine.save(Path(folder))

    def load(self, folder: str) -> None:
        """Take up the training state of a folder."""
        self._started_engine.load(Path(folder))

    def export_policy(self, folder: str) -> None:
        """Write the policy as a Hugging Face folder; rank 0 does."""
        self._started_engine.export_policy(Path(folder))

    def close(self) -> None:
        """Release the sender's files and connections."""
        if self._sender is not None:
            self._sender.close()

    @property
    def _started_engine(self) -> LearnerEngine:
        if self._engine is None:
            raise RuntimeError("start must be called first")
        return self._engine


def _import_libraries() -> None:
    with without_collections():
        import deepspeed  # noqa: F401
        from transformers import PreTrainedModel  # noqa: F401 - what any model imports

        import curio_ray.learner.engine  # noqa: F401
