"""Models that read finished dialogues: a second user model, and SmolLM2 as a judge of pairs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from made_dialogues import made

from curio_ray.config import RunConfig, load_config
from curio_ray.dialogue import Dialogue
from curio_ray.errors import ConfigError
from curio_ray.evaluation.collect import collect_evaluation
from curio_ray.evaluation.pair_judge import PairJudge
from curio_ray.evaluation.second_user_model import make_second_user_model
from curio_ray.evaluation.win_rate import win_rate_of_judge
from curio_ray.rollout.runner import LocalRunners
from curio_ray.serving.launch import ServerSet
from curio_ray.tasks.exercise.task import ExerciseTask

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
SECOND = (
    "servers.second={model: pocket:policy}",
    "evaluation.second_user_model={server: second, reads: policy_context}",
)


@dataclass
class Held:
    """Dialogues that were held, and the servers that can read them."""

    config: RunConfig
    task: ExerciseTask
    servers: ServerSet
    dialogues: list[Dialogue]


@pytest.fixture(scope="module")
def held(shared_servers, smollm_folder) -> Held:
    """Four dialogues in the pocket world, beside servers of a second user model and a judge."""
    judge = f"servers.judge={{model: {smollm_folder}, max_model_len: 1024}}"
    running = shared_servers(*SECOND, judge, "evaluation.judge.server=judge")
    config, servers, task = running.config, running.servers, ExerciseTask(seed=0)
    with contextlib.closing(LocalRunners(config, task)) as runners:
        runners.connect(servers.handles())
        dialogues = collect_evaluation(runners, task, config, 4, seed=0).dialogues
    return Held(config, task, servers, dialogues)


def test_the_same_user_model_reads_the_same_beliefs_again(held):
    role = held.config.roles.user_model
    evaluation = held.config.evaluation.model_copy(update={"second_user_model": role})
    config = held.config.model_copy(update={"evaluation": evaluation})
    again = make_second_user_model(config, held.task).read(held.dialogues, held.servers)
    for first, second in zip(held.dialogues, again, strict=True):
        np.testing.assert_allclose(second.beliefs(), first.beliefs(), atol=1e-4)


def test_another_user_model_changes_the_beliefs_and_no_word(held):
    again = make_second_user_model(held.config, held.task).read(held.dialogues, held.servers)
    for first, second in zip(held.dialogues, again, strict=True):
        assert second.token_ids == first.token_ids
        assert second.beliefs().shape == first.beliefs().shape
        assert not np.allclose(second.beliefs(), first.beliefs(), atol=1e-3)


def test_reading_again_leaves_the_first_beliefs_as_they_were(held):
    before = [each.beliefs() for each in held.dialogues]
    make_second_user_model(held.config, held.task).read(held.dialogues, held.servers)
    for belief, dialogue in zip(before, held.dialogues, strict=True):
        np.testing.assert_array_equal(belief, dialogue.beliefs())


@pytest.fixture(scope="module")
def judge(held) -> PairJudge:
    return PairJudge("judge", held.config, held.task)


def test_the_judge_gives_a_chance_for_each_order_user_and_criterion(held, judge):
    chances = judge.compare(held.dialogues[:2], held.dialogues[2:], held.servers)
    assert set(chances) == {"personalisation", "quality"}
    for each in chances.values():
        assert each.shape == (2, 2)
        assert np.all((each > 0) & (each < 1))


def test_a_dialogue_beside_itself_is_as_good_in_both_places_so_it_ties(held, judge):
    two = held.dialogues[:2]
    for chances in judge.compare(two, two, held.servers).values():
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-4)
        assert win_rate_of_judge(chances).ties == 2


def test_exchanging_the_policies_exchanges_the_chances(held, judge):
    user = held.dialogues[0].user
    asks = made(policy=["your sleep ?", "i recommend yoga ."], user=["sleep poor ."])
    says = made([[0.5, 0.5]], policy=["hello ."])
    for each in (asks, says):
        each.user = user
    there = judge.compare([asks], [says], held.servers)
    back = judge.compare([says], [asks], held.servers)
    for name, chances in there.items():
        np.testing.assert_allclose(chances[0], 1 - back[name][0, ::-1], atol=1e-4)


def test_a_pocket_model_is_refused_as_judge_of_pairs():
    config = load_config(POCKET, ("evaluation.judge.server=frozen",))
    with pytest.raises(ConfigError, match=r"judge\.server: 'frozen' cannot compare"):
        PairJudge("frozen", config, ExerciseTask(seed=0))
