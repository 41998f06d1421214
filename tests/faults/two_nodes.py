"""Two nodes on this machine, each with a raylet and an object store, one of which can be lost."""

from __future__ import annotations

from typing import Any

import psutil
import ray
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster

# Ray's own patience with a node that no longer answers is fifteen seconds.
QUICK_TO_NOTICE = {"health_check_period_ms": 1000, "health_check_failure_threshold": 4}
HOME = {"market": "on-demand"}
SPOT = {"market": "spot"}

ON_BOTH_NODES = (
    "servers.policy.replicas=2",
    "servers.policy.placement.strategy=strict_spread",
    "servers.frozen.replicas=2",
    "servers.frozen.placement.strategy=strict_spread",
    "rollout.runners=2",
    "rollout.placement.strategy=strict_spread",
    "learner.placement.labels={market: on-demand}",
)


class TwoNodes:
    """A head for everything, and a spot node for whatever does not have to stay."""

    def __init__(self) -> None:
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 4,
                "labels": HOME,
                "_system_config": QUICK_TO_NOTICE,
                "include_dashboard": False,
            },
        )
        self.add_spot_node()
        ray.init(address=self.cluster.address, log_to_driver=False)

    def add_spot_node(self) -> None:
        """What the autoscaler would do."""
        self._spot = self.cluster.add_node(num_cpus=3, labels=SPOT)

    def lose_spot_node(self) -> None:
        """Every process of the node ends at once, as when its machine is taken away."""
        raylet = psutil.Process(self._spot.all_processes[PROCESS_TYPE_RAYLET][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            process.kill()
        self.cluster.remove_node(self._spot, allow_graceful=False)

    def close(self) -> None:
        """End both nodes."""
        ray.shutdown()
        self.cluster.shutdown()


def node_of(actor: Any) -> str:
    """The id of the node where an actor runs."""
    # a lambda travels as code: the actor's process does not have this module
    return ray.get(actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()))
