"""Pocket education on the packaged sample: `curio sft`, then `curio train` with its models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from curio_ray.config import RunConfig, load_config
from curio_ray.dialogue import Dialogue
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.run_folder.dialogues import read_dialogues
from curio_ray.supervised.examples import Example, reward_model_example, user_model_example
from curio_ray.supervised.losses import label_log_probs
from curio_ray.tasks.base import Demonstration
from curio_ray.tasks.registry import make_task

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
ROLES = ("policy", "environment", "user_model", "reward_model")


def curio(command: str, folder: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `curio` on the pocket education config."""
    given = [part for change in changes for part in ("--set", change)]
    config = str(REPOSITORY / "configs" / "education_pocket.yaml")
    return subprocess.run(
        [sys.executable, "-m", "curio_ray", command, config, *given],
        cwd=folder, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `curio sft` has trained all four roles for a few steps."""
    path = tmp_path_factory.mktemp("pocket_education")
    shape = "{layers: 1, width: 64, heads: 2, vocabulary: 700}"
    lessons = [f"supervised.{role}.epochs=2" for role in ROLES]
    done = curio("sft", path, "task.options.turns=3", f"supervised.fresh={shape}", *lessons)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """The run folder of one iteration. One server plays every role but the policy."""
    models = "runs/education_pocket_models"
    done = curio(
        "train",
        folder,
        "task.options.turns=3",
        f"servers={{policy: {{model: {models}/policy}}, frozen: {{model: {models}/user_model}}}}",
        *(f"roles.{role}.server=frozen" for role in ROLES[1:]),
        "training.iterations=1",
        "training.dialogues_per_iteration=8",
        "evaluation.users=4",
        # the user model's few lessons taught it no verdict
        "training.stops.label_mass=null",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "runs" / "education_pocket"


@pytest.fixture(scope="module")
def config(trained: Path) -> RunConfig:
    return load_config(trained / "config.yaml")


@pytest.fixture(scope="module")
def dialogues(trained: Path) -> list[Dialogue]:
    return read_dialogues(next((trained / "dialogues").glob("*.parquet")))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_a_model_with_its_figures_on_held_out_conversations(
    folder: Path, role: str
) -> None:
    model = folder / "runs" / "education_pocket_models" / role
    ChatFormat.load(str(model))
    AutoModelForCausalLM.from_pretrained(model)
    figures = json.loads((model / "supervised.json").read_text())
    # the sample's held-out lessons hold no pair of which one suits and one does not
    assert (figures["after"] is None) == (role == "reward_model")
    if figures["after"] is not None:
        assert figures["before"].keys() == figures["after"].keys()


def test_the_served_belief_is_what_the_supervised_start_trained(
    config: RunConfig, dialogues: list[Dialogue]
) -> None:
    task, frozen = make_task(config.task, config.seed), config.servers["frozen"].model
    reading = ReadingFormat(ChatFormat.load(frozen), task.user_model_prompt())
    for dialogue in dialogues:
        recorded = demonstration(dialogue)
        exchanges = len(dialogue.turns) // 2
        example = user_model_example(reading, task, recorded, exchanges)
        assert dialogue.beliefs()[exchanges] == pytest.approx(answer(frozen, example), abs=1e-3)


def test_the_served_verdict_is_what_the_supervised_start_trained(
    config: RunConfig, dialogues: list[Dialogue]
) -> None:
    task, frozen = make_task(config.task, config.seed), config.servers["frozen"].model
    for dialogue in dialogues:
        example = reward_model_example(ChatFormat.load(frozen), task, demonstration(dialogue))
        verdict = dialogue.policy_turns[-1].rewards["task"]
        assert verdict == pytest.approx(answer(frozen, example)[1], abs=1e-3)


def test_a_task_without_recorded_conversations_is_told_so(tmp_path: Path) -> None:
    done = curio("sft", tmp_path, "task={name: exercise}")
    assert done.returncode == 2
    assert "'exercise' has no recorded conversations" in done.stderr
    assert not list(tmp_path.iterdir())


def demonstration(dialogue: Dialogue) -> Demonstration:
    return Demonstration(dialogue.user, tuple(turn.text for turn in dialogue.turns))


def answer(model: str, example: Example) -> list[float]:
    """The distribution over the labels that transformers computes."""
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = network(torch.from_numpy(example.token_ids).long()[None]).logits[:, -1]
    labels = torch.from_numpy(example.label_ids).long()[None]
    return label_log_probs(logits, labels).exp()[0].tolist()
