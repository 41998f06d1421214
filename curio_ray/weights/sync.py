"""How new policy weights get from the learner to the engines that serve them: one class a backend.

A backend has three parts: the driver's `WeightSync`, a `WeightSender` on every learner rank, and a
`WeightReceiver` in the process of every engine. A config is checked against its backend's class:
the class's file imports nothing heavy at its top.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from curio_ray.config.run import RunConfig
from curio_ray.errors import ConfigError, ReplicaLostError, ServerError
from curio_ray.plugins import load_class, registered, unknown_name

if TYPE_CHECKING:
    import torch

NamedTensors = Iterable[tuple[str, "torch.Tensor"]]


class WeightStream(Protocol):
    """Tensors under Hugging Face names, to be read once and in order.

    A tensor is valid until the next one is asked for.
    """

    @property
    def largest_bytes(self) -> int:
        """Size of the largest tensor, known before the first is read."""

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every rank reads its own, since gathering a tensor can be collective."""


Replicas = Mapping[str, Any]
"""Actor handles of a server's replicas, by the names that messages give them."""

OnLoss = Callable[[str], None]
"""Told the name of a replica that is lost."""

ENTRY_POINT_GROUP = "curio_ray.weights"
BACKENDS = {
    "shared_memory": "curio_ray.weights.shared_memory:SharedMemorySync",
    "adapters": "curio_ray.weights.adapters:AdapterSync",
    "nccl": "curio_ray.weights.gpu:NcclSync",
    "ipc": "curio_ray.weights.gpu:IpcSync",
}


class WeightSender(Protocol):
    """Sends the policy's weights under Hugging Face names, adapters merged into them or alone.

    Every rank calls `send` with its own stream, since gathering a tensor can be collective; only
    rank 0's tensors travel.
    """

    adapters_alone: bool

    def send(self, weights: WeightStream, version: int) -> list[Any]:
        """Consume the stream; returns what is left for the replicas to fetch, by rank 0 alone."""

    def close(self) -> None:
        """Release files and connections."""


class WeightLearner(Protocol):
    """What a sync needs of the learner; both calls reach every rank and block."""

    def make_weight_senders(self, make: Callable[[int], WeightSender]) -> None:
        """Let every rank make its sender, given the rank, in place of the one before."""

    def send_weights(self, version: int) -> list[Any]:
        """Send from every rank; returns what rank 0's sender returned."""


Call = tuple[str, tuple[Any, ...]]
"""A method that vLLM's `LLMEngine` and `AsyncLLM` both have, and its arguments."""


class WeightReceiver:
    """Made by the driver, used by the engine in its server's process; here, vLLM's own way.

    `engine_arguments` and `environment` are what the engine is started with. The methods return
    what a step of an update asks of vLLM's engine, which generates nothing meanwhile. Caches and
    versions are not its concern.
    """

    def __init__(
        self, engine_arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        self.engine_arguments = dict(engine_arguments)
        self.environment = dict(environment or {})

    def request_arguments(self) -> dict[str, Any]:
        """What each request to vLLM's engine carries besides; asked for once, before the first."""
        return {}

    def connect(self, info: dict[str, Any]) -> list[Call]:
        """Meet the senders."""
        return [on_workers("init_weight_transfer_engine", info)]

    def start(self) -> list[Call]:
        """Make the model ready to receive."""
        return [on_workers("start_weight_update")]

    def update(self, info: dict[str, Any]) -> list[Call]:
        """Take one chunk."""
        return [on_workers("update_weights", info)]

    def finish(self) -> list[Call]:
        """Complete the model."""
        return [on_workers("finish_weight_update")]


def transfer_by(vllm_name: str) -> dict[str, Any]:
    """The engine's argument for a backend of vLLM's own weight transfer."""
    return {"weight_transfer_config": {"backend": vllm_name}}


def on_workers(method: str, *arguments: Any) -> Call:
    """The call of a method of every worker of an engine."""
    return "collective_rpc", (method, None, arguments)


class WeightSync(ABC):
    """The driver's side of a backend; all calls block, until a deadline at the latest.

    `fixed_members` says that learner and replicas form one group, which every push must reach and
    which is made anew when a replica comes or goes.
    """

    fixed_members: ClassVar[bool]

    def __init__(self, config: RunConfig, learner: WeightLearner) -> None:
        self._config = config
        self._learner = learner

    @classmethod
    def problem(cls, config: RunConfig) -> str | None:
        """Why a run cannot use this backend, with the field and what to write; None if it can."""
        return None

    @classmethod
    @abstractmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """The receiver of the policy's engines."""

    @abstractmethod
    def connect(self, replicas: Replicas, on_loss: OnLoss | None = None) -> None:
        """Make the senders and connect them with replicas, in place of any connection before.

        Where members are not fixed, a replica that is lost meanwhile is given to `on_loss`, and
        the others go on.

        Raises:
            DeadlineError: it took longer than `weights.deadline_s`.
            ReplicaLostError: a replica was lost, and there is no `on_loss`.
            CurioError: a rank or a replica failed.
        """

    @abstractmethod
    def push(
        self, replicas: Replicas, version: int, on_loss: OnLoss | None = None
    ) -> dict[str, float]:
        """Bring replicas, which must be connected or known to a fixed group, to a version.

        Afterwards each token that they sample carries `version`, and nothing cached under older
        weights is used. `on_loss` and errors are those of `connect`.

        Returns:
            Seconds by phase: `send`, and where replicas load by themselves `start`, `update` and
            `finish` of the slowest one.
        """

    def renew(self, newcomer: Replicas, others: Replicas, version: int) -> None:
        """Bring a replica that was started anew to the present version.

        Raises:
            ReplicaLostError: a replica was lost meanwhile.
        """
        members = {**newcomer, **others} if self.fixed_members else newcomer
        self.connect(members)
        self.push(members, version)

    def _on_replicas(
        self, replicas: Replicas, method: str, *arguments: Any, on_loss: OnLoss | None = None
    ) -> list[Any]:
        """Call all replicas; returns the answers of those that are not lost."""
        calls = {name: getattr(each, method).remote(*arguments) for name, each in replicas.items()}
        return wait_for_replicas(calls, method, self._config.weights.deadline_s, on_loss)


def wait_for_replicas(
    calls: Mapping[str, Any], method: str, deadline_s: float, on_loss: OnLoss | None = None
) -> list[Any]:
    """The answers of one call per replica, of those that are not lost.

    Raises:
        DeadlineError: a replica took longer.
        ReplicaLostError: a replica was lost, and there is no `on_loss`.
        CurioError: a replica failed.
    """
    from curio_ray.actor_calls import ActorKind

    replicas = ActorKind(ServerError, ReplicaLostError)
    answers = replicas.wait(calls, method, "weights.deadline_s", deadline_s, on_loss)
    return list(answers.values())


def weight_sync_class(config: RunConfig) -> type[WeightSync]:
    """The class of `weights.backend`.

    A package adds a backend by an entry point in the group `curio_ray.weights`.

    Raises:
        ConfigError: there is no such backend, or the run cannot use it.
    """
    name, or_else = config.weights.backend, "or a class as module:Class"
    known = BACKENDS | registered(ENTRY_POINT_GROUP)
    if name not in known and ":" not in name:
        raise ConfigError(unknown_name("weights.backend", "backend", name, known, or_else))
    write = f"one of: {', '.join(known)}, {or_else}"
    sync: type[WeightSync] = load_class(known.get(name, name), "weights.backend", WeightSync, write)
    if problem := sync.problem(config):
        raise ConfigError(problem)
    return sync


def make_weight_sync(config: RunConfig, learner: WeightLearner) -> WeightSync:
    """The sync of a run; nothing is connected yet.

    Raises:
        ConfigError: there is no such backend, or the run cannot use it.
    """
    return weight_sync_class(config)(config, learner)
