"""What tests of several folders share: Ray, servers, a pretrained model, and the order of tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from shared_servers import Running, SharedServers

# A process keeps the mode in which it first used Ray, and what it starts must have the same.
os.environ["RAY_AUTH_MODE"] = "disabled"

# Files that need one of these come first, in this order: what they share is started once.
NEEDS = ("short_run", "shared_servers", "smollm_folder", "local_ray", "no_ray")
# Folders whose tests share something; where there are several processes, they go to the same.
TOGETHER = {"training": "training"} | dict.fromkeys(
    ("evaluation", "pocket", "roles", "rollout"), "servers"
)
GIB_PER_PROCESS = 6


@pytest.fixture(scope="session")
def _shared() -> Iterator[SharedServers]:
    from shared_servers import SharedServers

    shared = SharedServers()
    yield shared
    shared.end()


@pytest.fixture(scope="module")
def local_ray(_shared: SharedServers) -> None:
    """This process drives a Ray on this machine, for actors that the tests start and end."""
    _shared.ray_alone()


@pytest.fixture(scope="module")
def shared_servers(_shared: SharedServers) -> Callable[..., Running]:
    """Servers of the pocket config with overrides, shared by all who leave them as they are."""
    return _shared.running


@pytest.fixture(scope="module")
def no_ray(_shared: SharedServers) -> None:
    """This process drives no Ray, so that a test can start one as it needs it, and ends it."""
    _shared.end()


@pytest.fixture(scope="session")
def smollm_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SmolLM2-135M-Instruct as a folder that a server can load."""
    from curio_ray.pocket.smollm2 import write_model

    folder = tmp_path_factory.mktemp("smollm2")
    write_model(folder)
    yield str(folder)
    shutil.rmtree(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what only a GPU does where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that need the same one after another, the short ones last."""
    order: dict[str, int] = {}
    for item in items:
        file = item.location[0]
        order[file] = min(order.get(file, len(NEEDS) + 1), order_of(item))
    items.sort(key=lambda item: order[item.location[0]])


def order_of(item: pytest.Item) -> int:
    """The place of its first need in the list, or a place after them all."""
    needed = [n for n, name in enumerate(NEEDS) if name in item.fixturenames]
    return min([*needed, len(NEEDS) + (item.get_closest_marker("slow") is None)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many processes for `-n auto` as there are cores and memory for."""
    free_gib = psutil.virtual_memory().available / 2**30
    return max(1, min(os.cpu_count() or 1, int(free_gib / GIB_PER_PROCESS)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, or all files of the folders that share something."""
    from xdist.scheduler import LoadScopeScheduling

    class FilesOrFolders(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return TOGETHER.get(Path(file).parent.name, file)

    return FilesOrFolders(config, log)
