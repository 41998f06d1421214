"""The nodes of a Ray cluster: those of a running one, or those that its description allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curio_ray.config import RunConfig
from curio_ray.config.text_files import read_text
from curio_ray.config.yaml_text import parse_documents, without_empty
from curio_ray.errors import ConfigError
from curio_ray.placement.layout import DRIVER, Bundle, Group, make_layout
from curio_ray.placement.nodes import Node, advise, list_bundles, unplaced_groups

_KUBERNETES_GPU = "nvidia.com/gpu"


def read_cluster(address: str) -> list[Node]:
    """The nodes of a running cluster with what they have free. Starts nothing on it.

    Raises:
        PreflightError: no cluster answers at the address.
    """
    import ray

    from curio_ray.placement.ray_session import join_ray
    from curio_ray.private_api.ray_private import free_resources

    join_ray(address, "--address")
    try:
        free = free_resources()
        alive = [node for node in ray.nodes() if node["Alive"]]
        return [
            Node.of(node["NodeName"], free.get(node["NodeID"], {}), node["Labels"])
            for node in alive
        ]
    finally:
        ray.shutdown()


def read_nodes_file(path: Path) -> list[Node]:
    """All nodes that a Ray autoscaler's config or a KubeRay manifest allows, each kind at its most.

    Raises:
        ConfigError: the file is neither, or cannot be read.
    """
    source = f"--nodes: {path}"
    try:
        text = read_text(path, "a YAML file")
    except ConfigError as error:
        raise ConfigError(f"--nodes: {error}") from error
    documents = [without_empty(each) for each in parse_documents(text, source)]
    try:
        for document in filter(lambda each: isinstance(each, dict), documents):
            if "available_node_types" in document:
                return list(_autoscaler_nodes(document))
            spec = document.get("spec") or {}
            spec = spec.get("rayClusterSpec", spec)
            if "headGroupSpec" in spec:
                return list(_kuberay_nodes(spec))
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{source} describes a Ray cluster that cannot be read ({error!r}); compare it with "
            "the files in cluster/"
        ) from error
    raise ConfigError(
        f"--nodes: {path} describes no Ray cluster; name a Ray autoscaler's config, or a KubeRay "
        "RayCluster or RayJob"
    )


def find_missing(config: RunConfig, nodes: list[Node]) -> list[Bundle]:
    """Which of a run's actors, the driver among them, find no room on the nodes."""
    return unplaced_groups([*make_layout(config).groups, Group("PACK", (DRIVER,))], nodes)


def explain_missing(missing: list[Bundle], nodes: list[Node], place: str) -> str:
    """What is missing at a place, and what would make room."""
    advice = "".join(f"\n    {line}" for line in advise(missing, nodes))
    return (
        f"{place} has no room for {list_bundles(missing)}; add nodes that hold such actors, or "
        f"change:{advice or ' the number of nodes'}"
    )


def _autoscaler_nodes(config: Mapping[str, Any]) -> Iterator[Node]:
    limit = config.get("max_workers", 2)
    for name, kind in config["available_node_types"].items():
        is_head = name == config["head_node_type"]
        count = 1 if is_head else min(kind.get("max_workers", limit), limit)
        for _ in range(count):
            yield Node.of(name, kind.get("resources", {}), kind.get("labels", {}))


def _kuberay_nodes(spec: Mapping[str, Any]) -> Iterator[Node]:
    yield _pod("head", spec["headGroupSpec"])
    for group in spec.get("workerGroupSpecs", ()):
        for _ in range(group.get("maxReplicas", 1) * group.get("numOfHosts", 1)):
            yield _pod(group["groupName"], group)


def _pod(name: str, group: Mapping[str, Any]) -> Node:
    """What Ray offers on a pod: its first container's limits, or what `ray start` is told."""
    limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    told = group.get("rayStartParams", {})
    cpus = float(told.get("num-cpus", _cores(str(limits.get("cpu", 0)))))
    gpus = float(told.get("num-gpus", limits.get(_KUBERNETES_GPU, 0)))
    return Node(name, cpus, gpus, group.get("labels", {}))


def _cores(text: str) -> float:
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
