"""Joining a Ray cluster, or starting one on this machine for a single run."""

from __future__ import annotations

from pathlib import Path

import ray

from curio_ray.config import RunConfig
from curio_ray.errors import PreflightError


def connect_to_ray(config: RunConfig) -> Path:
    """Join the cluster that the config names, or start Ray on this machine for the run alone.

    Returns:
        The folder of this Ray session, where the logs of its processes lie.

    Raises:
        PreflightError: no cluster answers at the address.
    """
    cluster = config.cluster
    if cluster.address is not None:
        try:
            joined = ray.init(address=cluster.address, log_to_driver=False)
        except ConnectionError as error:
            raise PreflightError(
                f"cluster.address: no Ray cluster answers at {cluster.address}; start one with "
                "'ray start --head', or leave the address out to start Ray for this run alone"
            ) from error
        return Path(joined.address_info["session_dir"])
    started = ray.init(
        address="local",
        num_cpus=cluster.cpus,
        include_dashboard=cluster.dashboard,
        dashboard_port=cluster.dashboard_port if cluster.dashboard else None,
        log_to_driver=False,
    )
    return Path(started.address_info["session_dir"])
