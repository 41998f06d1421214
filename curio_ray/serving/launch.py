"""Starts every server of a run at once, waits for all of them, and ends them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from curio_ray.config.run import RunConfig
from curio_ray.config.servers import AnyServerConfig, ServerConfig
from curio_ray.errors import DeadlineError, ServerError
from curio_ray.placement.layout import server_bundle
from curio_ray.placement.reservation import Reservation
from curio_ray.serving.clients import SamplingClient, make_client
from curio_ray.serving.replicas import Replica, ReplicaWatch
from curio_ray.serving.server import ModelServer
from curio_ray.weights.sync import weight_sync_class

logger = logging.getLogger(__name__)

SHUTDOWN_DEADLINE_S = 10.0


class ServerSet:
    """The running servers of a run, by name, each with its replicas.

    Endpoints are among the configs, so that they can be asked; all else is about own servers.
    """

    def __init__(
        self,
        configs: Mapping[str, AnyServerConfig],
        replicas: Sequence[Replica],
        recovery_deadline_s: float,
    ) -> None:
        self._every_config = configs
        self._configs = {
            name: each for name, each in configs.items() if isinstance(each, ServerConfig)
        }
        self._recovery_deadline_s = recovery_deadline_s
        self._replicas = list(replicas)
        self._created = time.monotonic()

    @property
    def names(self) -> list[str]:
        """The names of the servers that this run starts, as in the config."""
        return list(self._configs)

    def config(self, server: str) -> ServerConfig:
        """The config of one server."""
        return self._configs[server]

    def replicas(self, server: str) -> list[Any]:
        """Actor handles of one server's replicas."""
        return [replica.actor for replica in self._replicas if replica.server == server]

    def named_replicas(self, server: str) -> dict[str, Any]:
        """Actor handles of one server's replicas, by the names that messages give them."""
        return {each.name: each.actor for each in self._replicas if each.server == server}

    def handles(self) -> dict[str, list[Any]]:
        """Actor handles of all replicas, by server."""
        return {name: self.replicas(name) for name in self.names}

    def client(self, server: str) -> SamplingClient:
        """A new client of one server or endpoint, for the event loop that will use it."""
        config = self._every_config[server]
        return make_client(server, config, self.replicas(server), self._recovery_deadline_s)

    def watch(self) -> ReplicaWatch:
        """A watch over all replicas, which must be ready."""
        return ReplicaWatch(self._replicas, self._recovery_deadline_s)

    def wait_ready(self) -> list[dict[str, Any]]:
        """What every replica says of itself once its engine has started.

        Raises:
            DeadlineError: a server was not ready `start_deadline_s` after its creation.
            ServerError: a server died or could not load its model.
        """
        return [self._wait(replica) for replica in self._replicas]

    def stats(self, deadline_s: float = 10.0) -> list[dict[str, Any]]:
        """The totals of every replica since its start, as plain values.

        Each has `server`, `replica`, `weight_version`, `unfinished_requests`, and by the names of
        `EngineStatistics` the requests answered, tokens sampled, read and found in the prefix
        cache, seconds busy and weight updates.

        Raises:
            DeadlineError: a replica did not answer within `deadline_s`.
            ServerError: a replica died.
        """
        calls = [replica.actor.stats.remote() for replica in self._replicas]
        try:
            return ray.get(calls, timeout=deadline_s)
        except GetTimeoutError as error:
            raise DeadlineError(
                f"the servers {', '.join(self.names)} gave no statistics within {deadline_s:g} s"
            ) from error
        except RayError as error:
            raise ServerError(
                f"one of the servers {', '.join(self.names)} died: {error}"
            ) from error

    def shutdown(self) -> None:
        """End every server: politely, then for good after `SHUTDOWN_DEADLINE_S` seconds."""
        calls = [replica.actor.shutdown.remote() for replica in self._replicas]
        _, late = ray.wait(calls, num_returns=len(calls), timeout=SHUTDOWN_DEADLINE_S)
        if late:
            logger.warning("%d servers did not shut down in time and are killed", len(late))
        for replica in self._replicas:
            ray.kill(replica.actor)

    def _wait(self, replica: Replica) -> dict[str, Any]:
        name = replica.server
        deadline_s = self._configs[name].start_deadline_s
        left = max(self._created + deadline_s - time.monotonic(), 0)
        try:
            return ray.get(replica.ready, timeout=left)
        except GetTimeoutError as error:
            raise DeadlineError(
                f"{replica.name} was not ready after {deadline_s:g} s; "
                f"raise servers.{name}.start_deadline_s, or check that the cluster has the CPUs "
                "and GPUs that it asks for"
            ) from error
        except RayTaskError as error:
            raise ServerError(str(error.cause)) from error
        except RayError as error:
            raise ServerError(f"{replica.name} died while it started: {error}") from error


def start_servers(
    config: RunConfig, reservation: Reservation | None = None, *, learning: bool = True
) -> ServerSet:
    """Create every replica of every server and let all of them load at the same time.

    Does not wait.

    Args:
        config: the run's.
        reservation: where the replicas lie; by default anywhere.
        learning: whether the policy's server will receive weights.
    """
    actor_class = ray.remote(ModelServer)
    replicas = []
    for name, server in config.own_servers.items():
        learns = learning and name == config.roles.policy.server
        receiver = weight_sync_class(config).receiver(config) if learns else None
        for number in range(server.replicas):
            place = reservation.server(name, number) if reservation else {}
            actor = actor_class.options(**_resources(config, name), **place).remote(
                name,
                server,
                receiver,
                config.seed + number,
                number,
                config.output.name,
            )
            replicas.append(Replica(name, number, actor, actor.ready.remote()))
    return ServerSet(dict(config.servers), replicas, config.cluster.recovery_deadline_s)


def _resources(config: RunConfig, name: str) -> dict[str, Any]:
    bundle = server_bundle(config, name)
    return {"num_cpus": bundle.cpus, "num_gpus": bundle.gpus, "max_restarts": -1}
