"""A Ray cluster that grows on this machine: Ray's own fake nodes, of the kinds in cluster/aws.yaml.

`ray.cluster_utils.AutoscalingCluster` would do the same, but ends every Ray of the machine first.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml
from ray._private.state import GlobalState
from ray._raylet import GcsClient, GcsClientOptions
from ray.autoscaler._private.fake_multi_node import node_provider as fake
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply, NodeStatus

AWS = Path(__file__).parents[2] / "cluster" / "aws.yaml"
IDLE_MINUTES = 0.5
START_DEADLINE_S = 120.0
# raylets ask for a share of the machine's memory each
OBJECT_STORE_BYTES = 100 * 2**20
ENVIRONMENT = {"RAY_AUTH_MODE": "disabled"}


class GrowingCluster:
    """The head and its autoscaler; nodes come as they are asked for, with half of the CPUs."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets need short paths
        host, port = ray.util.get_node_ip_address(), _free_port()
        self.address = f"{host}:{port}"
        config = self._folder / "autoscaler.json"
        config.write_text(json.dumps(autoscaler_config(self.address)))
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
            f"--port={port}", f"--temp-dir={self._folder / 'ray'}", "--num-cpus=2",
            f"--object-store-memory={OBJECT_STORE_BYTES}", "--include-dashboard=false",
            f"--ray-client-server-port={_free_port()}", f"--autoscaling-config={config}",
        ]  # fmt: skip
        environment = {
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": fake.FAKE_HEAD_NODE_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": fake.FAKE_HEAD_NODE_ID,
        }
        with (self._folder / "head.log").open("w") as log:
            self._head = subprocess.Popen(
                command, env=os.environ | ENVIRONMENT | environment, stdout=log, stderr=log
            )
        wait_until(self._answers, START_DEADLINE_S)

    def added(self) -> Counter[str]:
        """How many nodes of each kind have come, whether or not they are still there."""
        return Counter(kind for kind, _ in self._nodes().values() if kind)

    def alive(self) -> Counter[str]:
        """How many nodes of each kind are there now, besides the head."""
        return Counter(kind for kind, alive in self._nodes().values() if kind and alive)

    def kinds_of_actors(self) -> dict[str, set[str]]:
        """On which kinds of nodes the actors of each class were."""
        state = GlobalState()
        state._initialize_global_state(
            GcsClientOptions.create(
                self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )
        nodes, kinds = self._nodes(), {}
        for actor in state.actor_table(None, None, None).values():
            kind, _ = nodes[actor["Address"]["NodeID"]]
            kinds.setdefault(actor["ActorClassName"], set()).add(kind)
        return kinds

    def shutdown(self) -> None:
        """End the head with the nodes that it started."""
        started = psutil.Process(self._head.pid).children(recursive=True)
        self._head.terminate()
        try:
            self._head.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._head.kill()
        for process in psutil.wait_procs(started, timeout=10)[1]:
            process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._head.poll() is None, (self._folder / "head.log").read_text()
        try:
            return len(self._nodes()) > 0
        except (OSError, RuntimeError, ray.exceptions.RaySystemError):
            return False

    def _nodes(self) -> dict[str, tuple[str, bool]]:
        """Kind, and whether it is alive, of every node by its id; the head has no kind."""
        host, port = self.address.split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        reply = GetClusterStatusReply()
        reply.ParseFromString(GcsClient(self.address).get_cluster_status(timeout_s=10))
        return {
            node.node_id.hex(): (node.ray_node_type_name, node.status != NodeStatus.DEAD)
            for node in reply.cluster_resource_state.node_states
        }


def autoscaler_config(address: str) -> dict[str, Any]:
    """The kinds of nodes of cluster/aws.yaml, made by Ray's fake provider."""
    aws = yaml.safe_load(AWS.read_text())
    kinds = {
        fake.FAKE_HEAD_NODE_TYPE if name == aws["head_node_type"] else name: {
            "resources": kind["resources"]
            | {"CPU": kind["resources"]["CPU"] // 2, "object_store_memory": OBJECT_STORE_BYTES},
            "labels": kind.get("labels", {}),
            "node_config": {},
            "min_workers": kind.get("min_workers", 0),
            "max_workers": kind.get("max_workers", 0),
        }
        for name, kind in aws["available_node_types"].items()
    }
    provider = {
        "type": "external",
        "module": f"{fake.__name__}.{fake.FakeMultiNodeProvider.__name__}",
        "gcs_address": address,
        "head_node_id": fake.FAKE_HEAD_NODE_ID,
        "launch_multiple": True,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    commands = {
        name: []
        for name in (
            "initialization_commands", "setup_commands", "head_setup_commands",
            "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands",
            "cluster_synced_files", "rsync_exclude", "rsync_filter",
        )
    }  # fmt: skip
    return {
        "cluster_name": aws["cluster_name"],
        "max_workers": aws["max_workers"],
        "upscaling_speed": aws["upscaling_speed"],
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": provider,
        "available_node_types": kinds,
        "head_node_type": fake.FAKE_HEAD_NODE_TYPE,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **commands,
    }


def wait_until(holds: Any, deadline_s: float) -> None:
    """Look twice a second until something holds."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"not so within {deadline_s:g} s"
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
