"""What a run's start imports, and how."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from curio_ray.heavy_imports import import_ahead, when_idle, without_collections

MODULES = "import sys; import curio_ray.training.train_loop; print(*sys.modules)"


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_servers_are_started_before_rllib_and_pytorch_are_imported() -> None:
    command = [sys.executable, "-c", MODULES]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "curio_ray.serving.launch" in imported
    assert not imported & {"torch", "ray.rllib", "transformers"}


def test_nothing_is_collected_while_libraries_are_imported() -> None:
    before = [each["collections"] for each in gc.get_stats()]
    with without_collections():
        kept = [[] for _ in range(100_000)]
        assert [each["collections"] for each in gc.get_stats()] == before
    assert len(kept) == 100_000


def test_what_was_imported_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    with without_collections():
        kept = [[] for _ in range(1000)]
    assert gc.get_freeze_count() >= before + len(kept)


def test_garbage_is_collected_again_after_an_import_that_failed() -> None:
    with pytest.raises(ImportError), without_collections():
        raise ImportError
    assert gc.isenabled()


def test_a_module_imported_ahead_is_there_when_the_thread_ends() -> None:
    sys.modules.pop("colorsys", None)
    import_ahead(["colorsys"]).join()
    assert "colorsys" in sys.modules
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has such threads")
def test_work_for_idle_cores_leaves_the_priority_of_its_caller() -> None:
    before = os.sched_getscheduler(0)
    assert when_idle(lambda: os.sched_getscheduler(0)) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == before
