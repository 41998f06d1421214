"""Joining a Ray cluster, or starting one on this machine for a single run."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from curio_ray.config import RunConfig
from curio_ray.errors import PreflightError
from curio_ray.private_api.ray_private import submitted_job

_ANSWER_DEADLINE_S = 10
_TOKEN = (
    "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN or in the file "
    "~/.ray/auth_token; on its head 'ray get-auth-token' prints it"
)


def join_ray(address: str, field: str) -> Any:
    """Join a running cluster: `auto`, or its head's address.

    Ray itself tries for minutes to reach a head that is not there, so the port is tried first.

    Raises:
        PreflightError: no cluster answers at the address, or it wants another token; the message
            names the field.
    """
    host, separator, port = address.rpartition(":")
    there = False
    try:
        if separator and port.isdecimal() and not address.startswith("ray://"):
            socket.create_connection((host, int(port)), timeout=_ANSWER_DEADLINE_S).close()
            there = True
        return ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except AuthenticationError as error:
        raise PreflightError(f"{field}: {_TOKEN}") from error
    except OSError as error:
        if there:
            raise PreflightError(
                f"{field}: the Ray cluster at {address} does not let this command join; {_TOKEN}"
            ) from error
        raise PreflightError(
            f"{field}: no Ray cluster answers at {address}; start one with 'ray start --head', or "
            "leave the address out to use this machine alone"
        ) from error


@dataclass(frozen=True, slots=True)
class RaySession:
    """The Ray that a command uses.

    `folder` holds the logs of its processes. `dashboard` is the address of its web page and `job`
    the id by which `ray job` knows the command, each None where there is none.
    """

    folder: Path
    dashboard: str | None
    job: str | None

    def links(self) -> dict[str, str | None]:
        """Where a person can see the run, by the names of the run folder's notes."""
        return {"ray_dashboard": self.dashboard, "ray_job": self.job}


def connect_to_ray(config: RunConfig) -> RaySession:
    """Join the cluster that the config names, or start Ray on this machine for the run alone.

    Raises:
        PreflightError: no cluster answers at the address.
    """
    cluster = config.cluster
    if cluster.address is not None:
        return _session(join_ray(cluster.address, "cluster.address"))
    started = ray.init(
        address="local",
        num_cpus=cluster.cpus,
        include_dashboard=cluster.dashboard,
        dashboard_port=cluster.dashboard_port if cluster.dashboard else None,
        log_to_driver=False,
    )
    return _session(started)


def _session(context: Any) -> RaySession:
    dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else None
    return RaySession(Path(context.address_info["session_dir"]), dashboard, submitted_job())
