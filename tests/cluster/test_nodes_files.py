"""What `curio plan --nodes` makes of the files in cluster/."""

from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.plan.cluster import explain_missing, find_missing, read_nodes_file

ROOT = Path(__file__).parents[2]


def test_every_kind_of_node_counts_at_its_most():
    names = [node.name for node in read_nodes_file(ROOT / "cluster" / "aws.yaml")]
    assert {name: names.count(name) for name in names} == {
        "head": 1,
        "eight_gpus": 4,
        "spot_gpu": 24,
        "spot_cpu": 20,
    }


def test_pods_offer_their_limits():
    nodes = read_nodes_file(ROOT / "cluster" / "kuberay" / "raycluster.yaml")
    largest = max(nodes, key=lambda node: node.gpus)
    assert (largest.cpus, largest.gpus) == (88, 8)


def test_a_file_without_a_cluster_is_refused():
    with pytest.raises(ConfigError, match="describes no Ray cluster"):
        read_nodes_file(ROOT / "configs" / "pocket.yaml")


def test_what_is_missing_is_named_with_its_size():
    config = load_config(ROOT / "configs" / "education_32_gpus.yaml", ["learner.ranks=64"])
    nodes = read_nodes_file(ROOT / "cluster" / "aws.yaml")
    text = explain_missing(find_missing(config, nodes), nodes, "aws.yaml")
    assert "x learner rank (8 CPU, 1 GPU each)" in text


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_replica_over_more_gpus_than_a_node_has_is_missing(replicas):
    config = load_config(
        ROOT / "configs" / "education_32_gpus.yaml",
        ["servers.user_model.tensor_parallel=16", f"servers.user_model.replicas={replicas}"],
    )
    missing = find_missing(config, read_nodes_file(ROOT / "cluster" / "gcp.yaml"))
    assert [(each.actor, each.count) for each in missing] == [("server user_model", replicas)]
