"""Lock-step rollouts: everyone waits for the slowest, and each belief reads the history anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from held_dialogues import Work, World, close
from ratios import Ratio, in_turn, summarise

from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult

QUIET_S = 0.004


class Barrier:
    """Lets requests go only when every dialogue waits, and answers only when all are there.

    With `readings_first` no continuation goes while a belief is asked for.
    """

    def __init__(self, readings_first: bool) -> None:
        self._readings_first = readings_first
        self._waiting: list[_Held] = []
        self._running: asyncio.Task[None] | None = None

    async def send(
        self, is_reading: bool, request: Callable[[], Awaitable[GenerateResult]]
    ) -> GenerateResult:
        """Wait for the others, send, and wait for all answers."""
        answer: asyncio.Future[GenerateResult] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Held(is_reading, request, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._go())
        return await answer

    async def _go(self) -> None:
        while self._waiting:
            seen = 0
            while len(self._waiting) > seen:
                seen = len(self._waiting)
                await asyncio.sleep(QUIET_S)
            batch = self._next_batch()
            results = await asyncio.gather(*(held.request() for held in batch))
            for held, result in zip(batch, results, strict=True):
                held.answer.set_result(result)
            await asyncio.sleep(QUIET_S)

    def _next_batch(self) -> list[_Held]:
        readings = [held for held in self._waiting if held.is_reading]
        batch = readings if self._readings_first and readings else self._waiting
        self._waiting = [held for held in self._waiting if held not in batch]
        return batch


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    is_reading: bool
    request: Callable[[], Awaitable[GenerateResult]]
    answer: asyncio.Future[GenerateResult]


class LockstepClient:
    """A client behind the barrier; labels are read by a server that caches nothing."""

    def __init__(self, barrier: Barrier, speaker: ServerClient, reader: ServerClient) -> None:
        self._barrier, self._speaker, self._reader = barrier, speaker, reader
        self.outage_s = 0.0

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request together with everybody's."""
        is_reading = request.label_ids is not None
        client = self._reader if is_reading else self._speaker
        return await self._barrier.send(is_reading, lambda: client.generate(request, routing_key))


def stepped_clients(
    clients: dict[str, Any], readings_first: bool, caching: bool = False
) -> dict[str, Any]:
    """The policy's and the frozen roles' clients behind one barrier."""
    barrier = Barrier(readings_first)
    reader = clients["frozen" if caching else "scorer"]
    return {
        "policy": LockstepClient(barrier, clients["policy"], clients["policy"]),
        "frozen": LockstepClient(barrier, clients["frozen"], reader),
    }


def lockstep_on_pocket_world(world: World, count: int, in_flight: int) -> float:
    """Seconds of the pocket world's dialogues where everyone waits for the slowest each turn.

    Beliefs are read beside the next turns, and a dialogue's place is taken as it ends.
    """

    async def work() -> float:
        clients = world.clients()
        roles = world.roles(stepped_clients(clients, readings_first=False))
        _, seconds = await world.hold(roles, world.assignments(count), in_flight)
        await close(clients)
        return seconds

    return world.run(work)


def spread_ours(world: World, count: int, in_flight: int) -> tuple[float, float]:
    """Dialogues with real conversations' lengths, as the project holds them.

    Returns their seconds, and the share of their critical path that waited for beliefs.
    """

    async def work() -> tuple[float, float]:
        clients = world.clients()
        roles = world.roles(clients)
        batch, seconds = await world.hold(roles, world.assignments(count), in_flight)
        await close(clients)
        return seconds, batch.seconds.shares()["beliefs"]

    return world.run(work)


def spread_lockstep(world: World, count: int, in_flight: int, caching: bool = False) -> float:
    """Seconds of the same dialogues in lock-step.

    `in_flight` dialogues begin together and the next ones when all of them are over. Beliefs are
    awaited before the next turn; without `caching` each reads the whole history anew.
    """

    async def work() -> float:
        clients = world.clients()
        roles = world.roles(stepped_clients(clients, readings_first=True, caching=caching))
        total = 0.0
        for first in range(0, count, in_flight):
            group = world.assignments(count)[first : first + in_flight]
            _, seconds = await world.hold(roles, group, in_flight)
            total += seconds
        await close(clients)
        return total

    return world.run(work)


def measure_spread(world: World, count: int, in_flight: int, rounds: int) -> list[Ratio]:
    """Against lock-step where lengths spread as in real conversations; prints where time goes."""
    shares: list[float] = []

    def ours() -> float:
        seconds, share = spread_ours(world, count, in_flight)
        shares.append(share)
        return seconds

    def lockstep(caching: bool = False) -> float:
        return spread_lockstep(world, count, in_flight, caching)

    ways: dict[str, Callable[[], float]] = {
        "ours": ours,
        "lock-step, read anew": lockstep,
        "lock-step, prefixes cached": lambda: lockstep(caching=True),
    }
    spread_ours(world, in_flight, in_flight)
    for name, way in ways.items():
        before = world.work()
        seconds = way()
        print(_explained(name, seconds, world.work().since(before)))
    pairs = in_turn(ours, lockstep, rounds)
    return [
        summarise("dialogues_to_lockstep_rescoring", [b / a for a, b in pairs], 2.0),
        summarise("critical_path_waiting_for_beliefs_long_talk", shares, 0.05, "lower"),
    ]


def _explained(name: str, seconds: float, work: Work) -> str:
    busy = ", ".join(
        f"{server} {spent / seconds:.0%}"
        for server, spent in work.busy_seconds.items()
        if spent > 0
    )
    return (
        f"{name}: {seconds:.2f} s; engines busy: {busy}; "
        f"{work.tokens_read} prompt tokens read, {work.tokens_sampled} sampled"
    )
