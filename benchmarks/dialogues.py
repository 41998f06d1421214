"""Whole dialogues against the engines' own speed and against lock-step rollouts; cost of beliefs.

    python benchmarks/dialogues.py

Pocket models behind real vLLM servers. Prefix caches are emptied before each measurement. Twice as
many dialogues are held as are in flight; against lock-step half of `--in-flight` are in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ray
from held_dialogues import MeasuredSpokenServer, World, close
from lockstep import lockstep_on_pocket_world, measure_spread
from ratios import Ratio, in_turn, report, summarise
from spoken_lengths import LongTalk, long_talk_overrides, write_longer_models

from curio_ray.config import load_config
from curio_ray.dialogue import Turn
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.tasks.registry import make_task

POCKET = Path(__file__).parents[1] / "configs" / "pocket.yaml"
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


class RecordingClient(ServerClient):
    """The real client; remembers its requests."""

    sent: list[tuple[GenerateRequest, str]]

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request."""
        self.sent.append((request, routing_key))
        return await super().generate(request, routing_key)


def ours(world: World, count: int, in_flight: int) -> tuple[RolloutBatch, float]:
    """Dialogues as the project holds them."""

    async def work() -> tuple[RolloutBatch, float]:
        clients = world.clients()
        held = await world.hold(world.roles(clients), world.assignments(count), in_flight)
        await close(clients)
        return held

    return world.run(work)


def requests_of(world: World, count: int, in_flight: int) -> list[tuple[str, GenerateRequest, str]]:
    """Every request that the dialogues make, by server, with its routing key."""

    async def work() -> list[tuple[str, GenerateRequest, str]]:
        clients = world.clients(RecordingClient)
        for client in clients.values():
            client.sent = []
        await world.hold(world.roles(clients), world.assignments(count), in_flight)
        await close(clients)
        return [(name, *sent) for name, client in clients.items() for sent in client.sent]

    return world.run(work)


def all_at_once(world: World, requests: Sequence[tuple[str, GenerateRequest, str]]) -> float:
    """Seconds that the engines need for the same requests, all known in advance."""

    async def work() -> float:
        clients = world.clients()
        began = time.perf_counter()
        await asyncio.gather(*(clients[name].generate(ask, key) for name, ask, key in requests))
        seconds = time.perf_counter() - began
        await close(clients)
        return seconds

    return world.run(work)


def belief_cost(world: World, dialogues: int) -> tuple[list[float], float]:
    """Late over early time of a belief, and the share of its prompt found in the cache."""

    async def work() -> tuple[list[float], float]:
        clients = world.clients(RecordingClient)
        client = clients["frozen"]
        client.sent = []
        roles, ratios, hits = world.roles(clients), [], []
        for assignment in world.assignments(dialogues):
            session = roles.user_model.session(assignment.dialogue_id, [], "hello .")
            seconds = []
            for turn in range(LATE_TURN + 1):
                began = time.perf_counter()
                await session.ask()
                seconds.append(time.perf_counter() - began)
                session.add(Turn("policy", f"your {_ASKED[turn]} ?", [1], [0.0], [0]))
                session.add(Turn("user", f"{_ASKED[turn]} good .", [1]))
            request, key = client.sent[-1]
            again = await ServerClient.generate(client, request, key)
            hits.append(again.cached_tokens / len(request.prompt_ids))
            ratios.append(seconds[LATE_TURN] / seconds[1])
        await close(clients)
        return ratios, statistics.mean(hits)

    return world.run(work)


def measure_pocket_world(options: argparse.Namespace) -> list[Ratio]:
    """The ratios of the pocket world's own dialogues."""
    config = load_config(POCKET, ("rewards.task.source=reward_model",))
    world = World(config, make_task(config.task, config.seed))
    in_flight, rounds = options.in_flight, options.rounds
    shares: list[float] = []

    def against_engines(in_flight: int) -> list[float]:
        ours(world, in_flight, in_flight)
        requests = requests_of(world, 2 * in_flight, in_flight)
        print(f"{2 * in_flight} dialogues, {in_flight} in flight: {len(requests)} requests")
        pairs = in_turn(lambda: whole(in_flight), lambda: all_at_once(world, requests), rounds)
        return [engines / dialogues for dialogues, engines in pairs]

    def whole(in_flight: int) -> float:
        batch, seconds = ours(world, 2 * in_flight, in_flight)
        shares.append(batch.seconds.shares()["beliefs"])
        return seconds

    fewer = in_flight // 2
    many, few = against_engines(in_flight), against_engines(fewer)
    steps = in_turn(
        lambda: whole(fewer), lambda: lockstep_on_pocket_world(world, in_flight, fewer), rounds
    )
    costs, hit = belief_cost(world, 32)
    print(f"a belief at exchange {LATE_TURN}: {hit:.0%} of its prompt in the prefix cache")
    world.end()
    middle = sorted(costs)[len(costs) // 4 : -len(costs) // 4]
    return [
        summarise("dialogues_to_engines_at_once", many, 0.8),
        summarise(f"dialogues_to_engines_at_once_{fewer}_in_flight", few, 0.8),
        summarise("dialogues_to_lockstep_rescoring_pocket_world", [b / a for a, b in steps], 2.0),
        summarise("belief_at_turn_10_to_turn_1", middle, 1.3, "lower"),
        summarise("critical_path_waiting_for_beliefs", shares, 0.05, "lower"),
    ]


def measure_long_talk(options: argparse.Namespace) -> list[Ratio]:
    """The ratio on dialogues with real conversations' lengths."""
    with tempfile.TemporaryDirectory() as folder:
        models = write_longer_models(Path(folder))
        overrides = ("rewards.task.source=reward_model", *long_talk_overrides(models))
        config = load_config(POCKET, overrides)
        task = LongTalk(config.seed, **config.task.options)
        world = World(config, task, MeasuredSpokenServer)
        ratios = measure_spread(world, options.in_flight, options.in_flight // 2, options.rounds)
        world.end()
        return ratios


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=192, help="half as many where said")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("pocket_world", "long_talk"), default=None)
    parser.add_argument("--output", type=Path, default=None)
    chosen = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        measured = [] if chosen.only == "long_talk" else measure_pocket_world(chosen)
        measured += [] if chosen.only == "pocket_world" else measure_long_talk(chosen)
        report(measured, chosen.output)
    finally:
        ray.shutdown()
