"""Joining a Ray cluster that wants a token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
TOKEN = "a" * 64
HEAD = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def environment(home: Path, **values: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return plain | {"HOME": str(home), "PYTHONPATH": str(ROOT)} | values


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head that wants a token, in a process of its own: one process knows one token."""
    home = tmp_path_factory.mktemp("head")
    own = environment(home, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    with subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=own,
    ) as head:
        assert head.stdout is not None
        yield head.stdout.readline().strip()
        assert head.stdin is not None
        head.stdin.close()
        head.wait(PATIENCE_S)


@pytest.fixture
def plan(address: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(**values: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "curio_ray", "plan", "pocket", "--address", address]
        return subprocess.run(
            command,
            env=environment(tmp_path, **values),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return run


def test_with_the_token_the_pocket_run_fits_two_cpus(plan: Callable[..., object]) -> None:
    ended = plan(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    assert ended.returncode == 0, ended.stderr
    assert "room for the whole run on 1 nodes" in ended.stdout


@pytest.mark.parametrize("values", [{"RAY_AUTH_MODE": "token"}, {}], ids=["no token", "no mode"])
def test_without_a_token_the_command_says_where_it_comes_from(
    plan: Callable[..., object], values: dict[str, str]
) -> None:
    ended = plan(**values)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert "--address: " in last
    assert "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN" in last
