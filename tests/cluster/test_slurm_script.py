"""The Slurm script is sound shell and starts what exists."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_shellcheck_finds_nothing():
    linter = shutil.which("shellcheck", path=PROGRAMS)
    assert linter, "shellcheck is missing; make test installs requirements/cpu.txt, which has it"
    ended = subprocess.run([linter, SCRIPT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_configs_that_the_script_names_exist():
    named = [word for word in SCRIPT.read_text().split() if word.startswith("configs/")]
    assert named
    assert all((SCRIPT.parents[1] / name).is_file() for name in named)


@pytest.mark.slow
def test_the_wait_for_nodes_counts_those_that_have_joined(no_ray):
    counting = SCRIPT.read_text().split("alive_nodes() {")[1].split("; }")[0]
    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        ended = subprocess.run(
            ["bash", "-c", f"alive_nodes() {{{counting}; }}; alive_nodes {cluster.address}"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": PROGRAMS},
        )
        assert ended.stdout.split() == ["2"], ended.stderr
    finally:
        cluster.shutdown()
