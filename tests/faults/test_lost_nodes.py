"""A run over two nodes: weights cross between them, and the spot node is taken away and returns."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from two_nodes import ON_BOTH_NODES, TwoNodes, node_of

from curio_ray.config.servers import ServerConfig
from curio_ray.errors import LearnerError
from curio_ray.rollout.assignment import training_options
from curio_ray.rollout.batches import make_assignments
from curio_ray.rollout.runner import RolloutBatch
from curio_ray.serving.client import ServerClient
from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.serving.server import ModelServer
from curio_ray.training.algorithm import Curio, CurioConfig

pytestmark = pytest.mark.slow

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
DIALOGUES = 192
PATIENCE_S = 240.0
PROMPT = [int(i) for i in np.arange(70) * 7 % 50 + 5]
# What a replica answers alone is bitwise the same wherever weights and engine are.
QUESTIONS = [
    GenerateRequest(PROMPT, label_ids=(3, 9, 21)),
    GenerateRequest(PROMPT, max_tokens=12, seed=1),
]


@dataclass
class Story:
    """What was seen of a run whose spot node was lost and came back."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    stores: set[str] = field(default_factory=set)
    before: RolloutBatch = field(default_factory=RolloutBatch)
    during: RolloutBatch = field(default_factory=RolloutBatch)
    runners_lost: int = 0
    replicas_lost: list[int] = field(default_factory=list)
    first_answers: list[list[GenerateResult]] = field(default_factory=list)
    last_answers: list[list[GenerateResult]] = field(default_factory=list)
    exported_answers: list[GenerateResult] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    end: str = ""


def ask(actor: Any) -> list[GenerateResult]:
    """One replica's answers."""

    async def converse() -> list[GenerateResult]:
        client = ServerClient("policy", [actor], PATIENCE_S, PATIENCE_S)
        try:
            return [await client.generate(question, "a") for question in QUESTIONS]
        finally:
            await client.close()

    return asyncio.run(converse())


def ask_exported(algorithm: Curio, folder: Path) -> list[GenerateResult]:
    """The answers of a server that loads the learner's weights from a folder."""
    algorithm.trainer.learner.export_policy(folder)
    config = algorithm.trainer.config.servers["policy"].model_dump() | {"model": str(folder)}
    actor = ray.remote(ModelServer).options(num_cpus=0).remote("policy", ServerConfig(**config))
    ray.get(actor.ready.remote(), timeout=PATIENCE_S)
    answers = ask(actor)
    ray.kill(actor)
    return answers


def hold(algorithm: Curio) -> RolloutBatch:
    """The same dialogues with the present policy, whenever it is called."""
    trainer = algorithm.trainer
    users = trainer.task.users("held_out")[:DIALOGUES]
    assignments = make_assignments("held_out", users, 0, seed=3)
    collect = algorithm.runners.collect
    return trainer.supervisor.during(collect, assignments, training_options(trainer.config))


def hold_while_losing_a_node(algorithm: Curio, nodes: TwoNodes) -> RolloutBatch:
    """Hold dialogues and lose the node once its servers have begun to answer."""
    replicas = algorithm.trainer.servers.handles()
    distant = [replicas[name][number] for name, number in distant_replicas(algorithm)]
    began = [each["requests"] for each in ray.get([each.stats.remote() for each in distant])]
    held: Future[RolloutBatch] = Future()

    def watch() -> None:
        while not held.done():
            stats = ray.get([each.stats.remote() for each in distant])
            if all(each["requests"] > was + 20 for each, was in zip(stats, began, strict=True)):
                return nodes.lose_spot_node()
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        held.set_result(hold(algorithm))
    finally:
        thread.join()
    return held.result()


def distant_replicas(algorithm: Curio) -> list[tuple[str, int]]:
    """Servers and numbers of the replicas that are not on the driver's node."""
    home = ray.get_runtime_context().get_node_id()
    return [
        (name, number)
        for name, actors in algorithm.trainer.servers.handles().items()
        for number, actor in enumerate(actors)
        if node_of(actor) != home
    ]


def wait_for_return(algorithm: Curio, restarts: int) -> None:
    until = time.monotonic() + PATIENCE_S
    supervisor = algorithm.trainer.supervisor
    while supervisor.restarts < restarts and time.monotonic() < until:
        supervisor.check()
        time.sleep(0.2)


def train(algorithm: Curio, story: Story) -> None:
    algorithm.train()
    story.metrics.append(algorithm.last_iteration.metrics)


@pytest.fixture(scope="module")
def story(no_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("two-nodes")
    nodes, story = TwoNodes(), Story()
    overrides = [
        *ON_BOTH_NODES,
        f"cluster.address={nodes.cluster.address}",
        f"output={folder / 'run'}",
        "training.dialogues_per_iteration=16",
    ]
    try:
        algorithm = CurioConfig.from_yaml(POCKET, overrides).build_algo()
        try:
            tell(algorithm, nodes, story, folder)
            ray.kill(algorithm.trainer.learner.ranks[0])
            try:
                algorithm.train()
            except LearnerError as error:
                story.end = str(error)
            yield story
        finally:
            algorithm.stop()
    finally:
        nodes.close()


def tell(algorithm: Curio, nodes: TwoNodes, story: Story, folder: Path) -> None:
    trainer = algorithm.trainer
    train(algorithm, story)
    train(algorithm, story)
    for name, actors in trainer.servers.handles().items():
        story.nodes[name] = [node_of(actor) for actor in actors]
    story.nodes["learner"] = [node_of(rank) for rank in trainer.learner.ranks]
    runners = algorithm.env_runner_group.actors().values()
    story.nodes["runners"] = [node_of(runner) for runner in runners]
    story.stores = {node["ObjectStoreSocketName"] for node in ray.nodes() if node["Alive"]}
    story.first_answers = [ask(actor) for actor in trainer.servers.replicas("policy")]
    story.exported_answers = ask_exported(algorithm, folder / "exported")
    story.before = hold(algorithm)
    story.during = hold_while_losing_a_node(algorithm, nodes)
    story.runners_lost = algorithm.runners.restarts
    story.replicas_lost = [
        len(trainer.servers.replicas(name)) - len(trainer.supervisor.watch.alive(name))
        for name in ("policy", "frozen")
    ]
    train(algorithm, story)
    nodes.add_spot_node()
    wait_for_return(algorithm, restarts=2)
    story.last_answers = [ask(actor) for actor in trainer.servers.replicas("policy")]
    train(algorithm, story)


def test_each_role_lies_on_both_nodes_and_each_node_has_its_own_object_store(story: Story) -> None:
    assert len(story.stores) == 2
    for role in ("policy", "frozen", "runners"):
        assert len(set(story.nodes[role])) == 2


def test_weights_cross_between_nodes_bit_for_bit(story: Story) -> None:
    distant = next(
        answers
        for node, answers in zip(story.nodes["policy"], story.first_answers, strict=True)
        if node not in story.nodes["learner"]
    )
    assert set(distant[1].weight_versions) == {2}
    for received, exported in zip(distant, story.exported_answers, strict=True):
        assert received.token_ids == exported.token_ids
        assert received.log_probs == exported.log_probs
        assert received.label_log_probs == exported.label_log_probs


def test_with_the_node_runners_and_replicas_are_lost(story: Story) -> None:
    assert story.runners_lost == 1
    assert story.replicas_lost == [1, 1]


def test_every_dialogue_is_held_once(story: Story) -> None:
    held, before = story.during, story.before
    assert [each.id for each in held.dialogues] == [each.id for each in before.dialogues]
    assert len(before.dialogues) == DIALOGUES
    assert held.failures == []
    assert held.retries == 0


def test_a_dialogue_is_the_same_whichever_replica_answers(story: Story) -> None:
    for held, before in zip(story.during.dialogues, story.before.dialogues, strict=True):
        assert held.token_ids == before.token_ids
        for turn, same in zip(held.turns, before.turns, strict=True):
            if same.belief is not None:
                np.testing.assert_allclose(turn.belief, same.belief, atol=1e-4)


def test_a_replica_that_came_back_has_the_present_weights(story: Story) -> None:
    first, second = story.last_answers
    assert first == second
    assert set(first[1].weight_versions) == {3}


def test_training_goes_on_without_the_node_and_with_it_again(story: Story) -> None:
    assert [each["dialogues"] for each in story.metrics] == [16, 32, 48, 64]
    assert [each["server_restarts"] for each in story.metrics] == [0, 0, 0, 2]
    assert all(each["ratio_max_deviation"] < 1e-3 for each in story.metrics)


def test_a_lost_learner_ends_the_run_and_is_named(story: Story) -> None:
    assert "learner rank 0 died" in story.end
