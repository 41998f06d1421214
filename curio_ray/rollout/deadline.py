"""A deadline whose time stands still while a server is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SHORTEST_WAIT_S = 0.1


async def within(
    work: Coroutine[Any, Any, T], deadline_s: float, outage_s: Callable[[], float]
) -> T:
    """The result of some work, which is cancelled when it takes too long.

    Args:
        work: what to wait for.
        deadline_s: how long it may take, outages not counted.
        outage_s: seconds of outage until now, from any beginning.

    Raises:
        TimeoutError: it took longer.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s - outage_s()
    task = loop.create_task(work)
    try:
        while not task.done():
            left = until + outage_s() - loop.time()
            if left <= 0:
                raise TimeoutError
            await asyncio.wait({task}, timeout=max(left, SHORTEST_WAIT_S))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
