"""Joining a Ray cluster, or starting one on this machine for a single run."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import ray

from curio_ray.config import RunConfig
from curio_ray.errors import PreflightError

_ANSWER_DEADLINE_S = 10


def join_ray(address: str, field: str) -> Any:
    """Join a running cluster: `auto`, or its head's address.

    Ray itself tries for minutes to reach a head that is not there, so the port is tried first.

    Raises:
        PreflightError: no cluster answers at the address; the message names the field.
    """
    host, separator, port = address.rpartition(":")
    try:
        if separator and port.isdecimal() and not address.startswith("ray://"):
            socket.create_connection((host, int(port)), timeout=_ANSWER_DEADLINE_S).close()
        return ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except OSError as error:
        raise PreflightError(
            f"{field}: no Ray cluster answers at {address}; start one with 'ray start --head', or "
            "leave the address out to use this machine alone"
        ) from error


def connect_to_ray(config: RunConfig) -> Path:
    """Join the cluster that the config names, or start Ray on this machine for the run alone.

    Returns:
        The folder of this Ray session, where the logs of its processes lie.

    Raises:
        PreflightError: no cluster answers at the address.
    """
    cluster = config.cluster
    if cluster.address is not None:
        joined = join_ray(cluster.address, "cluster.address")
        return Path(joined.address_info["session_dir"])
    started = ray.init(
        address="local",
        num_cpus=cluster.cpus,
        include_dashboard=cluster.dashboard,
        dashboard_port=cluster.dashboard_port if cluster.dashboard else None,
        log_to_driver=False,
    )
    return Path(started.address_info["session_dir"])
