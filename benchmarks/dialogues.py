"""Whole dialogues against the engines' own speed and against lock-step rollouts; cost of beliefs.

    python benchmarks/dialogues.py

Pocket models behind real vLLM servers. Prefix caches are emptied before each measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ratios import Ratio, in_turn, report, summarise

from curio_ray.config import RunConfig, load_config
from curio_ray.config.servers import ServerConfig
from curio_ray.dialogue import Turn
from curio_ray.models import server as server_module
from curio_ray.models.client import ServerClient
from curio_ray.models.requests import GenerateRequest, GenerateResult
from curio_ray.models.roles import RoleFormats, Roles, connect_roles
from curio_ray.models.server import ModelServer
from curio_ray.rollout.assignment import Assignment, RolloutBatch, RolloutOptions
from curio_ray.rollout.collect import collect_dialogues
from curio_ray.tasks.base import Task
from curio_ray.tasks.registry import make_task

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
QUIET_S = 0.004
LATE_TURN = 10
_ASKED = [
    "sleep",
    "joints",
    "water",
    "company",
    "place",
    "pace",
    "stress",
    "diet",
    "job",
    "pets",
    "travel",
]


class MeasuredServer(ModelServer):
    """A model server whose prefix cache can be emptied, or left out."""

    def __init__(self, name: str, config: ServerConfig, caching: bool) -> None:
        super().__init__(name, config)
        arguments = server_module.engine_arguments
        server_module.engine_arguments = lambda *given: {
            **arguments(*given),
            "enable_prefix_caching": caching,
        }

    async def forget_prefixes(self) -> None:
        """Empty the prefix cache."""
        engine: Any = self._engine
        await engine._between_steps(engine._engine.reset_prefix_cache)


class RecordingClient(ServerClient):
    """The real client; remembers its requests."""

    sent: list[tuple[GenerateRequest, str]]

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request."""
        self.sent.append((request, routing_key))
        return await super().generate(request, routing_key)


class Barrier:
    """Lets requests go only when every dialogue waits, and answers only when all are there."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = []
        self._running: asyncio.Task[None] | None = None

    async def send(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for the others, send, and wait for all answers."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._go())
        return await answer

    async def _go(self) -> None:
        while self._waiting:
            seen = 0
            while len(self._waiting) > seen:
                seen = len(self._waiting)
                await asyncio.sleep(QUIET_S)
            batch, self._waiting = self._waiting, []
            results = await asyncio.gather(*(request() for request, _ in batch))
            for (_, answer), result in zip(batch, results, strict=True):
                answer.set_result(result)
            await asyncio.sleep(QUIET_S)


class LockstepClient:
    """A client behind the barrier; labels are read by a server that caches nothing."""

    def __init__(self, barrier: Barrier, speaker: ServerClient, reader: ServerClient) -> None:
        self._barrier, self._speaker, self._reader = barrier, speaker, reader
        self.outage_s = 0.0

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request together with everybody's."""
        client = self._speaker if request.label_ids is None else self._reader
        return await self._barrier.send(lambda: client.generate(request, routing_key))


class World:
    """The servers, and ways to hold dialogues with them."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.task: Task = make_task(config.task, config.seed)
        self.formats = RoleFormats(config.roles, config.servers, self.task)
        actor = ray.remote(MeasuredServer)
        self.servers = {
            name: actor.options(num_cpus=0).remote(name, config.servers[of], caching)
            for name, of, caching in (
                ("policy", "policy", True),
                ("world", "world", True),
                ("scorer", "world", False),
            )
        }
        ray.get([each.ready.remote() for each in self.servers.values()])

    def forget(self) -> None:
        """Empty the prefix caches."""
        ray.get([each.forget_prefixes.remote() for each in self.servers.values()])

    def assignments(self, count: int, first: int = 0) -> list[Assignment]:
        """Dialogues with users of the train split."""
        users = self.task.users("train")
        return [
            Assignment(f"made-{first + n:06d}", users[n % len(users)], first + n)
            for n in range(count)
        ]

    async def hold(self, roles: Roles, count: int, in_flight: int) -> tuple[RolloutBatch, float]:
        """Hold dialogues; the batch and the seconds."""
        options = RolloutOptions(1.0, True, 1, in_flight, 600)
        began = time.perf_counter()
        batch = await collect_dialogues(self.task, roles, self.assignments(count), options)
        return batch, time.perf_counter() - began

    def clients(self, kind: type[ServerClient] = ServerClient) -> dict[str, Any]:
        """A client of each server."""
        return {name: kind(name, [actor], 600, 600) for name, actor in self.servers.items()}

    def roles(self, clients: dict[str, Any]) -> Roles:
        """All roles on these clients."""
        return connect_roles(self.config.roles, self.formats, clients, self.task)

    def run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine with empty prefix caches."""
        self.forget()
        return asyncio.run(work())


def ours(world: World, count: int, in_flight: int) -> tuple[RolloutBatch, float]:
    """Dialogues as the project holds them."""

    async def work() -> tuple[RolloutBatch, float]:
        clients = world.clients()
        held = await world.hold(world.roles(clients), count, in_flight)
        await asyncio.gather(*(each.close() for each in clients.values()))
        return held

    return world.run(work)


def lockstep(world: World, count: int, in_flight: int) -> float:
    """Seconds of the same dialogues where everyone waits for the slowest at each turn."""

    async def work() -> float:
        clients, barrier = world.clients(), Barrier()
        stepped = {
            "policy": LockstepClient(barrier, clients["policy"], clients["policy"]),
            "world": LockstepClient(barrier, clients["world"], clients["scorer"]),
        }
        _, seconds = await world.hold(world.roles(stepped), count, in_flight)
        await asyncio.gather(*(each.close() for each in clients.values()))
        return seconds

    return world.run(work)


def requests_of(world: World, count: int, in_flight: int) -> list[tuple[str, GenerateRequest, str]]:
    """Every request that the dialogues make, by server, with its routing key."""

    async def work() -> list[tuple[str, GenerateRequest, str]]:
        clients = world.clients(RecordingClient)
        for client in clients.values():
            client.sent = []
        await world.hold(world.roles(clients), count, in_flight)
        await asyncio.gather(*(each.close() for each in clients.values()))
        return [(name, *sent) for name, client in clients.items() for sent in client.sent]

    return world.run(work)


def all_at_once(world: World, requests: Sequence[tuple[str, GenerateRequest, str]]) -> float:
    """Seconds that the engines need for the same requests, all known in advance."""

    async def work() -> float:
        clients = world.clients()
        began = time.perf_counter()
        await asyncio.gather(*(clients[name].generate(ask, key) for name, ask, key in requests))
        seconds = time.perf_counter() - began
        await asyncio.gather(*(each.close() for each in clients.values()))
        return seconds

    return world.run(work)


def belief_cost(world: World, dialogues: int) -> tuple[list[float], float]:
    """Late over early time of a belief, and the share of its prompt found in the cache."""

    async def work() -> tuple[list[float], float]:
        clients = world.clients(RecordingClient)
        client = clients["world"]
        client.sent = []
        roles, ratios, hits = world.roles(clients), [], []
        for assignment in world.assignments(dialogues):
            session = roles.user_model.session(assignment.dialogue_id, [], "hello .")
            seconds = []
            for turn in range(LATE_TURN + 1):
                began = time.perf_counter()
                await session.ask()
                seconds.append(time.perf_counter() - began)
                session.hear(Turn("policy", f"your {_ASKED[turn]} ?", [1], [0.0], [0]))
                session.hear(Turn("user", f"{_ASKED[turn]} good .", [1]))
            request, key = client.sent[-1]
            again = await ServerClient.generate(client, request, key)
            hits.append(again.cached_tokens / len(request.prompt_ids))
            ratios.append(seconds[LATE_TURN] / seconds[1])
        await asyncio.gather(*(each.close() for each in clients.values()))
        return ratios, statistics.mean(hits)

    return world.run(work)


def measure(world: World, options: argparse.Namespace) -> list[Ratio]:
    """All ratios."""
    count, in_flight = options.dialogues, options.in_flight
    ours(world, 32, 32)
    requests = requests_of(world, count, in_flight)
    shares: list[float] = []

    def whole() -> float:
        batch, seconds = ours(world, count, in_flight)
        shares.append(batch.seconds.shares()["beliefs"])
        return seconds

    engines = in_turn(whole, lambda: all_at_once(world, requests), options.rounds)
    steps = in_turn(whole, lambda: lockstep(world, count, in_flight), options.rounds)
    costs, hit = belief_cost(world, 32)
    print(f"a belief at exchange {LATE_TURN}: {hit:.0%} of its prompt in the prefix cache")
    print(
        f"{count} dialogues, {len(requests)} requests: {min(a for a, _ in engines):.2f} s at best"
    )
    middle = sorted(costs)[len(costs) // 4 : -len(costs) // 4]
    return [
        summarise("dialogues_to_engines_at_once", [b / a for a, b in engines], 0.8),
        summarise("dialogues_to_lockstep_rescoring", [b / a for a, b in steps], 2.0),
        summarise("belief_at_turn_10_to_turn_1", middle, 1.3, "lower"),
        summarise("critical_path_waiting_for_beliefs", shares, 0.05, "lower"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=192)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=None)
    chosen = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        pocket = load_config(POCKET, ("rewards.task.source=reward_model",))
        report(measure(World(pocket), chosen), chosen.output)
    finally:
        ray.shutdown()
