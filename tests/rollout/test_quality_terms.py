"""Quality terms of single turns, asked of the real reward model while dialogues go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from curio_ray.dialogue import Dialogue
from curio_ray.rewards.streams import quality_stream
from curio_ray.roles.roles import RoleFormats, connect_roles
from curio_ray.tasks.exercise.task import ExerciseTask
from curio_ray.tasks.exercise.words import reward_model_prompt

TERMS = ("recommends_yoga", "recommends_running")


class AssessedExercise(ExerciseTask):
    """Has quality terms in the words that the pocket reward model knows."""

    def quality_prompts(self):
        return {name: reward_model_prompt(name.removeprefix("recommends_")) for name in TERMS}


@pytest.fixture(scope="module")
def assessed(rollouts):
    return replace(rollouts, task=AssessedExercise(seed=0))


@pytest.fixture(scope="module")
def dialogues(assessed) -> list[Dialogue]:
    options = assessed.options(quality=TERMS)
    return assessed.hold(assessed.assignments(8), options).dialogues


def asked_again(assessed, dialogue: Dialogue, turns: int, term: str) -> float:
    """The chance of a term after so many turns, by a session that hears only these."""

    async def ask() -> float:
        clients = {name: assessed.servers.client(name) for name in assessed.servers.names}
        formats = RoleFormats(assessed.config, assessed.task)
        roles = connect_roles(assessed.config.roles, formats, clients, assessed.task)
        session = roles.reward_model.quality_sessions([term], dialogue.id)[term]
        session.add("user", assessed.task.opening(dialogue.user))
        for turn in dialogue.turns[:turns]:
            session.add(turn.speaker, turn.text)
        chance = float((await session.ask()).probabilities[1])
        for client in clients.values():
            await client.close()
        return chance

    return asyncio.run(ask())


def test_every_turn_of_the_policy_has_every_term(dialogues):
    streams = {quality_stream(term) for term in TERMS}
    assert all(streams <= set(turn.rewards) for each in dialogues for turn in each.policy_turns)


def test_a_term_is_the_chance_of_yes_once_the_policy_has_spoken_and_nobody_replied(
    assessed, dialogues
):
    dialogue = dialogues[0]
    for number, turn in list(enumerate(dialogue.policy_turns))[::4]:
        expected = asked_again(assessed, dialogue, 2 * number + 1, TERMS[0])
        assert turn.rewards[quality_stream(TERMS[0])] == pytest.approx(expected, abs=1e-4)


def test_asking_for_quality_changes_no_word(assessed, dialogues):
    without = assessed.hold(assessed.assignments(8), assessed.options()).dialogues
    assert [each.token_ids for each in without] == [each.token_ids for each in dialogues]
