"""Ray's cluster launcher would accept the files in cluster/, and their nodes hold the configs."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from curio_ray.config import load_config
from curio_ray.placement.layout import learner_bundle, server_bundle
from curio_ray.plan import make_plan
from curio_ray.plan.cluster import find_missing, read_nodes_file
from curio_ray.plan.devices import GPUS
from curio_ray.plan.gpu_memory import gpu_needs

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "cluster" / f"{cloud}.yaml" for cloud in ("aws", "gcp", "azure")]
CLUSTERS = [*FILES, ROOT / "cluster" / "kuberay" / "raycluster.yaml"]
GPU_CONFIGS = sorted(ROOT.glob("configs/*_gemma.yaml")) + sorted(ROOT.glob("configs/*_qwen.yaml"))
GPU_CONFIGS.append(ROOT / "configs" / "education_32_gpus.yaml")

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
each_cluster = pytest.mark.parametrize("file", CLUSTERS, ids=lambda file: file.stem)
each_config = pytest.mark.parametrize("config", GPU_CONFIGS, ids=lambda file: file.stem)


def read(file: Path) -> dict:
    return yaml.safe_load(file.read_text())


@each_file
def test_a_file_passes_rays_schema_and_checks(file):
    validate_config(prepare_config(read(file)))


@each_file
def test_nodes_grow_from_none_and_idle_ones_go_away(file):
    config = read(file)
    workers = [
        kind
        for name, kind in config["available_node_types"].items()
        if name != config["head_node_type"]
    ]
    assert all(kind["min_workers"] == 0 < kind["max_workers"] for kind in workers)
    assert config["idle_timeout_minutes"] > 0


@each_file
def test_the_limit_of_workers_lets_every_kind_grow_to_its_own(file):
    config = read(file)
    kinds = config["available_node_types"].items()
    grown = sum(kind["max_workers"] for name, kind in kinds if name != config["head_node_type"])
    assert config["max_workers"] >= grown


@each_file
def test_labels_say_which_nodes_are_bought_on_the_spot_market(file):
    for name, kind in read(file)["available_node_types"].items():
        written = str(kind["node_config"])
        is_spot = any(word in written for word in ("'spot'", "preemptible", "'Spot'"))
        labelled = kind.get("labels", {}).get("ray.io/market-type") == "spot"
        assert is_spot == labelled == name.startswith("spot"), name


@each_cluster
@each_config
def test_a_grown_cluster_holds_every_gpu_config(file, config):
    assert find_missing(load_config(config), read_nodes_file(file)) == []


@each_cluster
@each_config
def test_no_learner_rank_fits_on_a_spot_node(file, config):
    rank = learner_bundle(load_config(config))
    spot = [node for node in read_nodes_file(file) if node.name.startswith("spot")]
    assert spot
    assert not any(node.cpus >= rank.cpus and node.gpus >= rank.gpus for node in spot)


@each_cluster
@each_config
def test_every_server_on_one_gpu_fits_on_a_spot_node(file, config):
    run = load_config(config)
    (spot,) = {node for node in read_nodes_file(file) if node.name in ("spot_gpu", "spot-gpu")}
    for name, server in run.servers.items():
        if server.tensor_parallel == 1:
            bundle = server_bundle(run, name)
            assert bundle.cpus <= spot.cpus, name
            assert bundle.gpus <= spot.gpus, name


@each_config
def test_the_smallest_spot_gpu_has_the_memory_for_every_server_on_one_gpu(config, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plan = make_plan(load_config(config))
    for need in gpu_needs(plan):
        server = plan.config.servers.get(need.field.removeprefix("servers."))
        if server is not None and server.tensor_parallel == 1:
            assert need.fits(GPUS["L40S"]), need.holder


@each_file
def test_worker_nodes_start_the_same_ray_as_the_head(file):
    config = read(file)
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in str(
        config["head_start_ray_commands"]
    )
    assert "$RAY_HEAD_IP:6379" in str(config["worker_start_ray_commands"])


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_the_account_may_use_docker_before_the_first_container(name):
    values = yaml.safe_load((ROOT / "cluster" / f"{name}.yaml").read_text())
    *_, group, pause = values["initialization_commands"]
    assert group == "sudo usermod -aG docker $USER || true"
    # Ray's launcher keeps a connection, whose groups are those of its login, for ten seconds
    assert int(pause.removeprefix("sleep ")) > 10


def test_ranks_that_gather_every_weight_stay_on_one_node():
    for file in (ROOT / "configs").glob("*.yaml"):
        learner = load_config(file).learner
        if learner.zero_stage == 3 and learner.ranks > 1:
            assert learner.placement.strategy == "strict_pack", file.name
