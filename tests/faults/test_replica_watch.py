"""A lost replica that does not come back in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import ray
from two_nodes import SPOT, TwoNodes

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import DeadlineError
from curio_ray.serving.replicas import Replica, ReplicaWatch
from curio_ray.serving.server import ModelServer

pytestmark = pytest.mark.slow

DEADLINE_S = 2.0


def look_for_a_minute(watch: ReplicaWatch) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        watch.check(lambda replica: None)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def nodes(no_ray: None) -> Iterator[TwoNodes]:
    nodes = TwoNodes()
    yield nodes
    nodes.close()


def test_it_ends_the_run_with_an_error_that_names_it(nodes: TwoNodes) -> None:
    actor = (
        ray.remote(ModelServer)
        .options(num_cpus=1, max_restarts=-1, label_selector=SPOT)
        .remote("frozen", ServerConfig(model="pocket:world"), replica=3)
    )
    ray.get(actor.__ray_ready__.remote())
    watch = ReplicaWatch([Replica("frozen", 3, actor, None)], DEADLINE_S)
    assert list(watch.alive("frozen").values()) == [actor]
    nodes.lose_spot_node()
    with pytest.raises(
        DeadlineError, match=r"server 'frozen' \(replica 3\) .* not back within 2 s"
    ):
        look_for_a_minute(watch)
    assert watch.alive("frozen") == {}
