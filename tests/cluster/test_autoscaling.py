"""A pocket run on a cluster that has only its head, and nodes as in cluster/aws.yaml to add."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from growing_cluster import ENVIRONMENT, GrowingCluster, wait_until

from curio_ray.config import load_config
from curio_ray.errors import PreflightError
from curio_ray.placement.reservation import reserve

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
PLACED = (
    "servers.policy.placement.labels={ray.io/accelerator-type: L40S}",
    "servers.frozen.placement.labels={ray.io/accelerator-type: L40S}",
    "learner.placement.labels={ray.io/market-type: on-demand}",
    "rollout.placement.labels={ray.io/market-type: spot}",
    "cluster.cpus_per_thread=1.0",
    "cluster.capacity_deadline_s=300",
)
SHORT = (
    "training.iterations=1",
    "training.dialogues_per_iteration=8",
    "evaluation.users=4",
)
GONE_DEADLINE_S = 120


@dataclass
class Trained:
    """A run's folder, what it printed, and the cluster that has grown for it."""

    folder: Path
    printed: str
    cluster: GrowingCluster


@pytest.fixture(scope="module")
def trained(no_ray, tmp_path_factory):
    cluster = GrowingCluster()
    try:
        folder = tmp_path_factory.mktemp("runs") / "grown"
        command = [
            sys.executable, "-m", "curio_ray", "train", "configs/pocket.yaml",
            "--address", cluster.address, "--output", str(folder),
        ]  # fmt: skip
        for value in (*PLACED, *SHORT):
            command += ["--set", value]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=os.environ | ENVIRONMENT, capture_output=True, text=True,
            timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield Trained(folder, done.stdout, cluster)
    finally:
        cluster.shutdown()


def test_the_run_adds_one_node_of_each_kind_that_it_asks_for(trained):
    assert trained.cluster.added() == {"eight_gpus": 1, "spot_gpu": 1, "spot_cpu": 1}


def test_every_actor_lies_on_the_kind_of_node_that_its_labels_name(trained):
    kinds = trained.cluster.kinds_of_actors()
    assert kinds["LearnerRank"] == {"eight_gpus"}
    assert kinds["ModelServer"] == {"spot_gpu"}
    assert kinds["DialogueRunner"] == {"spot_cpu"}


def test_the_run_says_which_actors_wait_for_nodes(trained):
    assert "waiting for room for" in trained.printed
    assert "1 x learner rank (1 CPU, 0 GPU each, on ray.io/market-type=on-demand)" in (
        trained.printed
    )


def test_it_trains(trained):
    lines = (trained.folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["dialogues"] == 8


def test_what_no_kind_of_node_holds_fails_at_once(trained):
    large = ("servers.frozen.gpus=1", "servers.frozen.tensor_parallel=16", *PLACED)
    config = load_config(
        REPOSITORY / "configs" / "pocket.yaml",
        [f"cluster.address={trained.cluster.address}", *large],
    )
    ray.init(address=trained.cluster.address, log_to_driver=False)
    try:
        with pytest.raises(PreflightError, match=r"no room for 1 x server frozen \(1 CPU, 16 GPU"):
            reserve(config)
    finally:
        ray.shutdown()


def test_idle_nodes_go_away(trained):
    wait_until(lambda: not trained.cluster.alive(), GONE_DEADLINE_S)
