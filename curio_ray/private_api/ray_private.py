"""Ray's private names: what its autoscaler says, what a node has free, which job this is."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray._private.state import available_resources_per_node
from ray._raylet import (  # type: ignore[attr-defined]
    GCS_AUTOSCALER_STATE_NAMESPACE,
    GCS_AUTOSCALER_V2_ENABLED_KEY,
    GcsClient,
)
from ray.autoscaler._private.util import format_readonly_node_type
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

READ_FROM = "2.60.0"

_DEADLINE_S = 30
_UNMANAGED = format_readonly_node_type("")


@dataclass(frozen=True, slots=True)
class AutoscalerReport:
    """What can still come.

    `can_add` is False where nothing adds nodes to the cluster. `refused` are the ids of placement
    groups for which the autoscaler has no nodes to add. `adding` counts the nodes that it has asked
    for, by node type; `failed` says why some did not come.
    """

    can_add: bool
    refused: frozenset[str] = frozenset()
    adding: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[str, ...] = ()

    def refuses(self, group_id: str) -> bool:
        """Whether no node will come for a waiting placement group."""
        return not self.can_add or group_id in self.refused


def read_autoscaler() -> AutoscalerReport:
    """Ask the cluster that this process has joined.

    Ray's present autoscaler tells which groups it cannot satisfy, also where it only watches nodes
    that others start. Its predecessor does not: then nothing counts as refused.
    """
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    reply = GetClusterStatusReply()
    reply.ParseFromString(client.get_cluster_status(timeout_s=_DEADLINE_S))
    state = reply.autoscaling_state
    if not state.autoscaler_state_version:
        return AutoscalerReport(can_add=_will_report(client) or _older_one_adds(client))
    adding: Counter[str] = Counter()
    for request in state.pending_instance_requests:
        adding[request.ray_node_type_name] += request.count
    return AutoscalerReport(
        can_add=True,
        # details read ID:STRATEGY|STATE
        refused=frozenset(
            group.details.partition(":")[0] for group in state.infeasible_gang_resource_requests
        ),
        adding=dict(adding),
        failed=tuple(
            f"{request.ray_node_type_name}: {request.reason}"
            for request in state.failed_instance_requests
        ),
    )


def _will_report(client: GcsClient) -> bool:
    enabled = client.internal_kv_get(
        GCS_AUTOSCALER_V2_ENABLED_KEY.encode(),
        namespace=GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
        timeout=_DEADLINE_S,
    )
    return bool(enabled == b"1")


def _older_one_adds(client: GcsClient) -> bool:
    """Whether the former autoscaler manages nodes; one that only watches names them by their id."""
    text = client.internal_kv_get(
        DEBUG_AUTOSCALING_STATUS.encode(), namespace=None, timeout=_DEADLINE_S
    )
    report = json.loads(text).get("autoscaler_report") if text else None
    if not report:
        return False
    types = [*report.get("active_nodes", {}), *(report.get("idle_nodes") or {})]
    return any(not each.startswith(_UNMANAGED) for each in types)


def free_resources() -> dict[str, dict[str, float]]:
    """What each node of the cluster that this process has joined has free, by the node's id."""
    return dict(available_resources_per_node())


def submitted_job() -> str | None:
    """The id by which `ray job` knows this command, or None where it was not submitted.

    Ray tells it in the variable that configures a submitted command's driver.
    """
    job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
    identity: str | None = job.get("metadata", {}).get("job_submission_id")
    return identity
