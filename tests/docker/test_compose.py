"""The compose file describes two nodes that find each other and share the run folder."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
NODES = {name: COMPOSE["services"][name] for name in ("head", "worker")}


def test_every_service_is_built_from_a_recipe_that_exists():
    for name, service in COMPOSE["services"].items():
        build = service["build"]
        context = ROOT / "docker" / build["context"]
        assert (context / build["dockerfile"]).is_file(), name


def test_the_worker_joins_the_head_by_its_name_and_port():
    assert "--port=6379" in NODES["head"]["command"]
    assert "--address=head:6379" in NODES["worker"]["command"]


def test_the_worker_waits_until_the_head_answers():
    assert NODES["worker"]["depends_on"]["head"]["condition"] == "service_healthy"


def test_every_node_asks_for_the_same_token():
    tokens = {node["environment"]["RAY_AUTH_TOKEN"] for node in NODES.values()}
    assert len(tokens) == 1
    assert tokens.pop().startswith("${RAY_AUTH_TOKEN:?")


def test_the_nodes_share_a_volume_that_is_declared():
    for node in NODES.values():
        (volume,) = node["volumes"]
        assert volume.split(":")[0] in COMPOSE["volumes"]


def test_no_port_is_open_to_other_machines():
    published = [
        port for service in COMPOSE["services"].values() for port in service.get("ports", ())
    ]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_node_has_shared_memory_for_its_object_store():
    assert all(node["shm_size"] == "2gb" for node in NODES.values())


def test_the_object_store_fits_into_the_shared_memory():
    for node in NODES.values():
        (size,) = [word for word in node["command"] if word.startswith("--object-store-memory=")]
        assert int(size.partition("=")[2]) < 2 * 10**9
