"""What users reply by rule, and what can be read off an utterance."""

from __future__ import annotations

import pytest

from curio_ray.tasks.exercise import words

PERSONA = {"sleep": "good", "joints": "sore"}


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("your sleep ?", "sleep good ."),
        ("tell me your joints fine ?", "joints sore ."),
        ("your joints your sleep ?", "joints sore ."),
        ("your water ?", "what ?"),
        ("hello", "what ?"),
        ("", "what ?"),
        ("i recommend yoga .", "thanks ."),
        ("your yoga ?", "what ?"),
    ],
)
def test_the_user_answers_the_first_attribute_named(said: str, reply: str) -> None:
    assert words.reply(PERSONA, said) == reply


def test_a_recommendation_needs_the_word_before_the_strategy() -> None:
    assert words.recommended_strategies("i recommend yoga .") == {"yoga"}
    assert words.recommended_strategies("yoga i recommend") == set()
    assert words.recommended_strategies("recommend yoga recommend boxing") == {"yoga", "boxing"}


def test_facts_come_from_an_attribute_directly_followed_by_its_value() -> None:
    said = ["hello , what exercise fits me ?", "sleep good .", "what ?", "joints sore ."]
    assert words.known_facts(said) == PERSONA


def test_another_attributes_value_is_no_fact() -> None:
    assert words.known_facts(["sleep sore ."]) == {}
