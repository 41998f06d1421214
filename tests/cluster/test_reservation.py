"""Places for a run's actors on the nodes of a running Ray cluster, which has logical GPUs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from curio_ray.config import load_config
from curio_ray.errors import DeadlineError, PreflightError
from curio_ray.placement.reservation import reserve

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
NODES = {
    "head": {"num_cpus": 8, "num_gpus": 0},
    "large": {"num_cpus": 4, "num_gpus": 2, "labels": {"market": "on_demand"}},
    "small": {"num_cpus": 4, "num_gpus": 1, "labels": {"market": "spot"}},
}


@ray.remote
class Witness:
    """Says where it is."""

    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()

    def where(self) -> tuple[str, list[str]]:
        return self.node(), ray.get_runtime_context().get_accelerator_ids()["GPU"]


@pytest.fixture(scope="module")
def nodes(no_ray):
    """The nodes' names by their ids, with this process as a driver."""
    cluster = Cluster(initialize_head=True, head_node_args=NODES["head"])
    ids = {cluster.head_node.node_id: "head"}
    for name in ("large", "small"):
        ids[cluster.add_node(**NODES[name]).node_id] = name
    ray.init(address=cluster.address, log_to_driver=False)
    yield ids
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def reserved(nodes):
    """Reserves the places of the pocket run with other fields."""
    made = []

    def make(*overrides: str):
        config = load_config(POCKET, ["cluster.address=auto", *overrides])
        made.append(reserve(config))
        return made[-1]

    yield make
    for each in made:
        each.release()


def witness(place: dict, gpus: float = 0.0):
    return Witness.options(num_cpus=0, num_gpus=gpus, **place).remote()


def node_of(place: dict, nodes: dict[str, str]) -> str:
    return nodes[ray.get(witness(place).node.remote())]


def test_replicas_are_spread_over_nodes(reserved, nodes):
    places = reserved(
        "servers.frozen.replicas=3", "servers.frozen.placement.strategy=strict_spread"
    )
    assert {node_of(places.server("frozen", i), nodes) for i in range(3)} == set(NODES)


def test_ranks_are_packed_on_one_node(reserved, nodes):
    places = reserved(
        "learner.ranks=2", "learner.gpus_per_rank=1", "learner.placement.strategy=strict_pack"
    )
    assert {node_of(places.rank(i), nodes) for i in range(2)} == {"large"}


def test_labels_choose_the_node(reserved, nodes):
    places = reserved("servers.frozen.placement.labels={market: spot}")
    assert node_of(places.server("frozen", 0), nodes) == "small"


def test_a_rank_beside_a_replica_shares_its_gpu(reserved):
    places = reserved(
        "servers.policy.replicas=2", "servers.policy.gpus=0.5", "learner.ranks=2",
        "learner.gpus_per_rank=0.5", "learner.placement.beside=policy",
    )  # fmt: skip
    for number in range(2):
        server = witness(places.server("policy", number), gpus=0.5)
        rank = witness(places.rank(number), gpus=0.5)
        assert ray.get(server.where.remote()) == ray.get(rank.where.remote())


def test_runners_lie_where_their_labels_say(reserved, nodes):
    places = reserved("rollout.runners=2", "rollout.placement.labels={market: spot}")
    assert {node_of(places.runner(i), nodes) for i in range(2)} == {"small"}


def test_a_replica_larger_than_every_node_fails_at_once(reserved):
    started = time.monotonic()
    with pytest.raises(PreflightError, match=r"servers\.frozen: the largest node has 2 GPU"):
        reserved("servers.frozen.gpus=1", "servers.frozen.tensor_parallel=4")
    assert time.monotonic() - started < 30


def test_labels_that_no_node_has_fail_at_once(reserved):
    with pytest.raises(
        PreflightError, match=r"learner\.placement\.labels: no node has market=none"
    ):
        reserved("learner.placement.labels={market: none}")


def test_more_replicas_than_nodes_cannot_be_spread_strictly(reserved):
    with pytest.raises(PreflightError, match=r"servers\.frozen\.replicas: no room for 1 of them"):
        reserved("servers.frozen.replicas=4", "servers.frozen.placement.strategy=strict_spread")


def test_places_that_others_have_are_waited_for_until_the_deadline(reserved):
    two_gpus = ("learner.gpus_per_rank=1", "learner.ranks=2")
    reserved(*two_gpus)
    with pytest.raises(DeadlineError, match="2 x learner rank"):
        reserved(*two_gpus, "cluster.capacity_deadline_s=3")


def test_released_places_are_free_again(reserved):
    three_gpus = ("learner.gpus_per_rank=1", "learner.ranks=3")
    reserved(*three_gpus).release()
    reserved(*three_gpus)
