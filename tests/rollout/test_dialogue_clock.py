"""Where a dialogue's time goes, told by a clock that is set by hand."""

from dataclasses import dataclass

import pytest

from curio_ray.rollout.clock import DialogueClock, DialogueSeconds, collection_parts


@dataclass
class Hand:
    """A clock that goes on when told to."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds


def dialogue(beliefs: float = 0.0, judge: float = 0.0) -> DialogueSeconds:
    """Six seconds of talk; answers arrive so long after the last word."""
    hand = Hand()
    clock = DialogueClock(hand)
    with clock.waiting("policy"):
        hand.wait(3)
    with clock.waiting("user"):
        hand.wait(2)
    clock.arrived("beliefs")
    hand.wait(1)
    clock.spoken()
    for seconds, answer in sorted([(beliefs, "beliefs"), (judge, "judge")]):
        if seconds:
            hand.time = 6 + seconds
            clock.arrived(answer)
    return clock.result()


def test_beliefs_that_arrive_while_policy_and_user_speak_cost_nothing():
    assert dialogue().beliefs == 0


def test_beliefs_that_arrive_before_the_verdict_cost_nothing():
    told = dialogue(beliefs=1, judge=2)
    assert (told.beliefs, told.judge, told.total) == (0, 2, 8)


def test_beliefs_cost_what_they_take_longer_than_the_verdict():
    told = dialogue(beliefs=5, judge=2)
    assert (told.beliefs, told.judge, told.total) == (3, 2, 11)


def test_what_nobody_was_waited_for_is_the_rest():
    assert dialogue(beliefs=4).shares() == {
        "policy": 0.3, "user": 0.2, "beliefs": 0.4, "judge": 0.0, "rest": pytest.approx(0.1),
    }  # fmt: skip


def test_the_parts_of_collecting_add_up_and_longer_dialogues_count_for_more():
    told = dialogue()
    told.add(dialogue(judge=6))
    parts = collection_parts(9.0, told)
    assert parts["time/collect_judge"] == pytest.approx(9.0 * 6 / 18)
    assert sum(parts.values()) == pytest.approx(9.0)
