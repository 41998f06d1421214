"""User models that can be persuaded, read in several orders, and pooled: SmolLM2 in a server.

The packaged world model is taught to ignore the policy's claims; a pretrained model is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from shared_servers import Running

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.config.servers import UserModelRole
from curio_ray.dialogue import Dialogue, Turn, User
from curio_ray.rewards.registry import make_reward
from curio_ray.rewards.streams import INTRINSIC, assign_intrinsic_reward
from curio_ray.roles.beliefs import at_temperature
from curio_ray.roles.chat import ChatFormat, format_loader
from curio_ray.roles.user_model import UserModelFormat
from curio_ray.tasks.base import ReadingPrompt

OPENING = "Hello."
ASSERTS = ["You love cats.", "Okay."]
ASKS = ["What do you love?", "I love cats."]
ASSERTS_THE_WRONG_TYPE = ["You love dogs.", "No, I love cats."]


class LovedThing:
    """What a user model needs of a task: which of the things, listed in an order, is loved."""

    def __init__(
        self, *things: str, question: str = "Say the word: what does the guest love most?"
    ):
        self.user_types = things
        self._question = question

    def spoken(self, text: str) -> str:
        return text

    def user_model_prompt(self) -> ReadingPrompt:
        return self.user_model_prompt_in_order(range(len(self.user_types)))

    def user_model_prompt_in_order(self, order) -> ReadingPrompt:
        listed = [self.user_types[thing] for thing in order]
        return ReadingPrompt(
            instruction="This is a conversation between a waiter and a guest.",
            policy_name="Waiter",
            user_name="Guest",
            question=self._question.format(things=" or ".join(listed)),
            labels=tuple(listed),
        )


CATS_OR_DOGS = LovedThing("cats", "dogs")
LISTED = "What does the guest love: {things}?"


@dataclass
class Listening:
    """Lets user models hear fixed lines."""

    running: Running

    def hear(self, task: LovedThing, lines: list[str], **role: Any) -> Dialogue:
        """A dialogue of these lines with a belief after every turn; the true type is the first."""
        config = self.running.config
        format_ = UserModelFormat(
            UserModelRole(server="pretrained", **role), task,
            format_loader(config.servers), ChatFormat.load(config.servers["pretrained"].model),
        )  # fmt: skip

        async def listen() -> Dialogue:
            clients = {name: self.running.servers.client(name) for name in ("pretrained", "policy")}
            session = format_.connect(clients).session("scripted", [1], OPENING)
            initial, turns = (await session.ask()).probabilities, []
            for number, line in enumerate(lines):
                turn = Turn("user", line, [1]) if number % 2 else policy_turn(line)
                session.add(turn)
                turn.belief = (await session.ask()).probabilities
                turns.append(turn)
            for client in clients.values():
                await client.close()
            return Dialogue("scripted", User("guest", 0, {}), [1], turns, initial)

        return asyncio.run(listen())

    def earned(self, lines: list[str], attribution: str = "exchange", **role: Any) -> float:
        """The sum of the intrinsic rewards of a scripted dialogue with a lover of cats."""
        dialogue = self.hear(CATS_OR_DOGS, lines, **role)
        intrinsic = IntrinsicRewardConfig(name="diff_acc", attribution=attribution)
        assign_intrinsic_reward(dialogue, make_reward(intrinsic), intrinsic, discount=1.0)
        return sum(turn.rewards[INTRINSIC] for turn in dialogue.policy_turns)


def policy_turn(text: str) -> Turn:
    return Turn("policy", text, [1], [0.0], [0])


@pytest.fixture(scope="module")
def listening(shared_servers: Callable[..., Running], smollm_folder: str) -> Listening:
    pretrained = f"servers.pretrained={{model: {smollm_folder}, max_model_len: 1024}}"
    return Listening(shared_servers(pretrained))


def test_asserting_the_type_earns_where_whole_exchanges_are_paid(listening):
    assert listening.earned(ASSERTS) > 0.3


def test_asserting_the_type_earns_nothing_where_replies_are_paid(listening):
    assert listening.earned(ASSERTS, "reply") < 0.02


def test_what_is_asserted_earns_nothing_where_the_users_words_alone_are_heard(listening):
    earned, otherwise = (
        listening.earned([claim, "Okay."], hears="user_words")
        for claim in ("You love cats.", "You love dogs.")
    )
    assert earned == pytest.approx(otherwise, abs=1e-4)


@pytest.mark.parametrize(
    ("attribution", "hears"),
    [("exchange", "dialogue"), ("reply", "dialogue"), ("exchange", "user_words")],
)
def test_asking_earns_under_every_attribution(listening, attribution, hears):
    assert listening.earned(ASKS, attribution, hears=hears) > 0.15


def test_a_false_claim_that_is_corrected_earns_more_as_a_reply_than_as_an_exchange(listening):
    as_exchange, as_reply = (
        listening.earned(ASSERTS_THE_WRONG_TYPE, attribution)
        for attribution in ("exchange", "reply")
    )
    assert as_reply > as_exchange + 0.02


def test_being_corrected_earns_no_more_than_the_belief_gained_where_the_user_alone_is_heard(
    listening,
):
    dialogue = listening.hear(CATS_OR_DOGS, 3 * ASSERTS_THE_WRONG_TYPE, hears="user_words")
    gained = dialogue.beliefs()[-1, 0] - dialogue.beliefs()[0, 0]
    earned = listening.earned(3 * ASSERTS_THE_WRONG_TYPE, hears="user_words")
    assert earned == pytest.approx(gained)


def test_a_belief_depends_on_the_order_of_the_labels(listening):
    first, second = (
        listening.hear(LovedThing(*things, question=LISTED), []).initial_belief
        for things in (("tea", "milk"), ("milk", "tea"))
    )
    assert abs(first[0] - second[1]) > 0.02


def test_the_mean_over_all_orders_does_not_depend_on_the_order_of_the_labels(listening):
    things = ("tea", "milk", "juice")
    beliefs = []
    for order in list(permutations(range(3)))[::2]:
        task = LovedThing(*(things[thing] for thing in order), question=LISTED)
        dialogue = listening.hear(task, ASKS, label_orders=6)
        beliefs.append(dialogue.turns[-1].belief[np.argsort(order)])
    np.testing.assert_allclose(beliefs[1:], [beliefs[0]] * 2, atol=1e-4)


def test_the_temperature_divides_the_labels_log_probabilities(listening):
    plain = listening.hear(CATS_OR_DOGS, ASKS).beliefs()
    warm = listening.hear(CATS_OR_DOGS, ASKS, temperature=2.0).beliefs()
    np.testing.assert_allclose(warm, at_temperature(plain, 2.0), atol=1e-5)
