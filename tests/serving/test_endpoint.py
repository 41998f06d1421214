"""Frozen roles behind a URL: vLLM's own server in the place of a server of the run.

Needs nothing but this machine: the server listens at the loopback interface.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_endpoint import FaultyEndpoint, Reply, completion
from vllm_serve import KEY, KEY_VARIABLE, VllmServe, free_port

from curio_ray.config.servers import EndpointConfig, EnvironmentRole
from curio_ray.dialogue import Dialogue
from curio_ray.errors import PreflightError
from curio_ray.rewards.streams import TASK
from curio_ray.roles.chat import format_loader
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.roles.reading import reading_format
from curio_ray.run_folder.dialogues import read_newest_dialogues
from curio_ray.serving.endpoint import EndpointClient, check_endpoints
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import RELEVANT
from curio_ray.tasks.exercise.task import ExerciseTask

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SHORT = (
    "training.iterations=1",
    "training.dialogues_per_iteration=16",
    "evaluation.users=8",
    "cluster.dashboard=false",
)
RUN_DEADLINE_S = 500
COMPLETIONS = {"api": "completions", "tokenizer": "pocket:world"}


def train(path: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    """`curio train` with the pocket config, one short iteration."""
    sets = [part for change in (*SHORT, *changes) for part in ("--set", change)]
    return subprocess.run(
        [sys.executable, "-m", "curio_ray", "train", "configs/pocket.yaml", "--output", str(path),
         *sets],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=RUN_DEADLINE_S, check=False,
        env=os.environ | {KEY_VARIABLE: KEY},
    )  # fmt: skip


def dialogues_of(path: Path, *changes: str) -> list[Dialogue]:
    done = train(path, *changes)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(read_newest_dialogues(path / "dialogues", 1), key=lambda each: each.id)


@pytest.fixture(scope="module")
def vllm_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServe]:
    server = VllmServe(tmp_path_factory.mktemp("vllm") / "vllm.log")
    server.wait_ready()
    yield server
    server.stop()


@dataclass
class TwoRuns:
    """The same iteration with a server of the run's own, and with an endpoint in its place."""

    own: list[Dialogue]
    endpoint: list[Dialogue]
    folder: Path


@pytest.fixture(scope="module")
def runs(vllm_serve: VllmServe, tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    folder = tmp_path_factory.mktemp("runs")
    frozen = (
        f"servers.frozen={{url: '{vllm_serve.url}', model: world, api: completions, "
        f"tokenizer: 'pocket:world', api_key_env: {KEY_VARIABLE}}}"
    )
    return TwoRuns(
        own=dialogues_of(folder / "own"),
        endpoint=dialogues_of(folder / "endpoint", frozen),
        folder=folder / "endpoint",
    )


def test_an_iteration_with_all_frozen_roles_behind_a_url_holds_the_same_dialogues(runs):
    def said(dialogues: Sequence[Dialogue]) -> list[list[str]]:
        return [[turn.text for turn in each.turns] for each in dialogues]

    assert len(runs.own) == 16
    assert said(runs.endpoint) == said(runs.own)
    assert [each.token_ids for each in runs.endpoint] == [each.token_ids for each in runs.own]


def test_its_beliefs_are_the_same(runs):
    for mine, other in zip(runs.own, runs.endpoint, strict=True):
        np.testing.assert_allclose(other.beliefs(), mine.beliefs(), atol=1e-4)


def test_its_verdicts_are_the_same(runs):
    mine, other = (
        [each.policy_turns[-1].rewards[TASK] for each in dialogues]
        for dialogues in (runs.own, runs.endpoint)
    )
    np.testing.assert_allclose(other, mine, atol=1e-4)


def test_no_file_of_the_run_holds_the_key(runs):
    files = [path for path in runs.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@dataclass
class Asked:
    """What one way to ask the endpoint brought: replies of a user, and beliefs of a reader."""

    replies: list[str]
    beliefs: list[np.ndarray]


def talk(url: str, **fields: Any) -> Asked:
    """A user of the task asked three questions, read along by the user model."""
    task = ExerciseTask(seed=0)
    user = task.users("train")[0]
    config = EndpointConfig(url=url, model="world", api_key_env=KEY_VARIABLE, **fields)
    form = format_loader({"frozen": config})("frozen")

    async def converse() -> Asked:
        client = EndpointClient("frozen", config, 8)
        opening = task.opening(user)
        role = EnvironmentRole(server="frozen", max_tokens=12)
        player = EnvironmentModel(client, form, role)
        session = player.session(task.environment_prompt(user), opening, "d")
        reading = reading_format(form, task.user_model_prompt(), task.spoken).session(client, "d")
        reading.add("user", opening)
        asked = Asked([], [(await reading.ask()).probabilities])
        try:
            for name in list(RELEVANT)[:3]:
                asked.replies.append((await session.reply(words.question(name), seed=0)).text)
                reading.add("policy", words.question(name))
                reading.add("user", asked.replies[-1])
                asked.beliefs.append((await reading.ask()).probabilities)
        finally:
            await client.close()
        return asked

    return asyncio.run(converse())


def test_chat_brings_the_replies_and_beliefs_of_completions(vllm_serve, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    by_tokens, by_chat = talk(vllm_serve.url, **COMPLETIONS), talk(vllm_serve.url, api="chat")
    assert by_chat.replies == by_tokens.replies
    np.testing.assert_allclose(by_chat.beliefs, by_tokens.beliefs, atol=1e-3)


@pytest.mark.parametrize(
    ("key", "model", "words"),
    [(KEY, "world", None), (KEY, "other", "write one of: world"), ("wrong", "world", KEY_VARIABLE)],
)
def test_the_check_before_a_run_tells_key_and_model(vllm_serve, monkeypatch, key, model, words):
    monkeypatch.setenv(KEY_VARIABLE, key)
    config = EndpointConfig(url=vllm_serve.url, model=model, api_key_env=KEY_VARIABLE)
    if words is None:
        check_endpoints({"frozen": config})
        return
    with pytest.raises(PreflightError, match=words) as caught:
        check_endpoints({"frozen": config})
    assert key == KEY or key not in str(caught.value).replace(KEY_VARIABLE, "")


def test_a_run_whose_endpoint_becomes_busy_ends_with_what_to_do(tmp_path):
    def busy_after_the_check(number: int, body: dict[str, Any]) -> Reply:
        return completion(body) if number < 20 else Reply(429, {"error": "slow down"})

    with FaultyEndpoint(busy_after_the_check) as endpoint:
        done = train(
            tmp_path / "run",
            f"servers.frozen={{url: '{endpoint.url}', model: world, api: completions, "
            "tokenizer: 'pocket:world', retry_for_s: 2}",
            "rollout.attempts=1",
        )
    assert done.returncode == 2
    assert "429" in done.stderr
    assert "servers.frozen.max_in_flight" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_whose_endpoint_is_down_ends_before_anything_starts(tmp_path):
    done = train(
        tmp_path / "run",
        f"servers.frozen={{url: 'http://127.0.0.1:{free_port()}/v1', model: world}}",
    )
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert not (tmp_path / "run").exists()
