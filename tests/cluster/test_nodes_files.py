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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("# für\n".encode("latin-1"), r"nodes\.yaml: line 1: is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "is UTF-16, not UTF-8"),
        (b"a: [1\n", "line 2: not valid YAML"),
        (b"a: 1\na: 2\n", "line 2: not valid YAML: 'a' stands here and in line 1"),
        (b"- a\n", "describes no Ray cluster"),
        (b"", "describes no Ray cluster"),
        (b"spec:\n", "describes no Ray cluster"),
        (b"available_node_types: {a: {}}\n", r"cannot be read \(KeyError\('head_node_type'\)\)"),
        (b"available_node_types:\n", "cannot be read"),
        (b"spec: {headGroupSpec: {template: {}}}\n", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_as_nodes_is_named(data, message, tmp_path):
    path = tmp_path / "nodes.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"--nodes: (?s:.*){message}"):
        read_nodes_file(path)
