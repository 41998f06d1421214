"""The manifests in cluster/kuberay have the fields of KubeRay's API, and no others."""

import importlib.metadata
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from curio_ray.config import load_config
from curio_ray.plan.cluster import find_missing, read_nodes_file

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "kuberay_v1.json").read_text())
FILES = sorted((ROOT / "cluster" / "kuberay").glob("*.yaml"))
DOCUMENTS = [
    pytest.param(document, id=f"{file.stem}-{document['kind']}")
    for file in FILES
    for document in yaml.safe_load_all(file.read_text())
]
RAY = [each for each in DOCUMENTS if each.values[0]["apiVersion"] == "ray.io/v1"]


def cluster_of(document: dict) -> dict:
    return document["spec"].get("rayClusterSpec", document["spec"])


def pods_of(document: dict) -> list[dict]:
    spec = cluster_of(document)
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_has_only_fields_of_its_api(document):
    kind = {"$ref": f"#/definitions/{document['kind']}", "definitions": SCHEMA["definitions"]}
    jsonschema.validate(document, kind)


def test_a_misspelt_field_is_refused():
    document = json.loads(json.dumps(RAY[0].values[0]))
    cluster_of(document)["workerGroupSpecs"][0]["maxReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(
            document,
            {"$ref": f"#/definitions/{document['kind']}", "definitions": SCHEMA["definitions"]},
        )


@pytest.mark.parametrize("document", RAY)
def test_every_mount_names_a_volume_of_its_pod(document):
    for pod in pods_of(document):
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]}
        assert mounts == volumes


@pytest.mark.parametrize("document", RAY)
def test_autoscaling_is_on_and_starts_from_no_workers(document):
    spec = cluster_of(document)
    assert spec["enableInTreeAutoscaling"]
    assert all(group["minReplicas"] == group["replicas"] == 0 for group in spec["workerGroupSpecs"])


@pytest.mark.parametrize("document", RAY)
def test_the_ray_version_is_the_installed_one(document):
    assert cluster_of(document)["rayVersion"] == importlib.metadata.version("ray")


@pytest.mark.parametrize("document", RAY)
def test_no_pod_runs_as_root(document):
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods_of(document))


def test_the_job_runs_a_config_that_its_cluster_holds():
    file = ROOT / "cluster" / "kuberay" / "rayjob.yaml"
    (document,) = yaml.safe_load_all(file.read_text())
    command, verb, config, *_ = document["spec"]["entrypoint"].split()
    assert (command, verb) == ("curio", "train")
    assert find_missing(load_config(ROOT / config), read_nodes_file(file)) == []


GIB = 2**30


@pytest.mark.parametrize("document", RAY)
def test_the_object_store_of_every_pod_fits_into_its_shared_memory(document):
    spec = cluster_of(document)
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (shm,) = (each["emptyDir"] for each in pod["volumes"] if each["name"] == "shm")
        limits = pod["containers"][0]["resources"]["limits"]
        shared, memory = (
            int(text.removesuffix("Gi")) for text in (shm["sizeLimit"], limits["memory"])
        )
        assert int(group["rayStartParams"]["object-store-memory"]) / GIB < shared < memory / 2
