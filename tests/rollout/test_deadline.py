"""A deadline whose time stands still while a server is lost."""

from __future__ import annotations

import asyncio

import pytest

from curio_ray.rollout.runner import within


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


def test_work_in_time_gives_its_result() -> None:
    assert asyncio.run(within(slow(0.01), 5.0, lambda: 0.0)) == "done"


def test_work_that_takes_longer_is_cancelled() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError):
        asyncio.run(within(work(), 0.01, lambda: 0.0))
    assert cancelled == [True]


def test_an_outage_does_not_count() -> None:
    async def held() -> str:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await within(slow(0.5), 0.1, lambda: min(loop.time() - began, 1.0))

    assert asyncio.run(held()) == "done"


def test_an_outage_before_the_work_began_gives_it_no_more_time() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(within(slow(60), 0.01, lambda: 1000.0))
