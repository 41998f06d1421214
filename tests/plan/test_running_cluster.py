"""What a running Ray cluster has free, by `curio plan --address`."""

from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from curio_ray.config import load_config
from curio_ray.errors import PreflightError
from curio_ray.plan.cluster import find_missing, read_cluster

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


@pytest.fixture(scope="module")
def address(no_ray):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0})
    cluster.add_node(num_cpus=3, num_gpus=1)
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def test_every_node_is_read_with_what_it_has_free(address):
    nodes = read_cluster(address)
    assert sorted((node.cpus, node.gpus) for node in nodes) == [(2, 0), (3, 1)]


def test_a_run_that_fits_misses_nothing(address):
    config = load_config(POCKET, [f"cluster.address={address}"])
    assert find_missing(config, read_cluster(address)) == []


def test_what_does_not_fit_is_named(address):
    config = load_config(
        POCKET,
        [f"cluster.address={address}", "servers.frozen.gpus=1", "servers.frozen.tensor_parallel=2"],
    )
    missing = find_missing(config, read_cluster(address))
    assert [(each.actor, each.count) for each in missing] == [("server frozen", 1)]


def test_an_address_without_a_cluster_is_refused():
    with pytest.raises(PreflightError, match="--address: no Ray cluster answers at"):
        read_cluster("127.0.0.1:1")
