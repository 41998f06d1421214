"""Texts of the dataset: end markers and stray characters."""

from __future__ import annotations

import pytest

from curio_ray.tasks.education.text import END_MARKER, ends_conversation, spoken_text


@pytest.mark.parametrize(
    "text",
    [
        END_MARKER,
        "[end of conversation]",
        "[End of Conversation].",
        "End of conversation.",
        '[end of conversation]",',
        "[end of the conversation]",
        "end of conversation]",
        "**End of conversation**",
        "**[End of conversation]**",
        "_End of conversation._",
        "*[end of the conversation]*",
    ],
)
def test_an_end_marker_alone_ends_and_says_nothing(text: str) -> None:
    assert ends_conversation(text)
    assert spoken_text(text) == ""


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Well done. [End of conversation]", "Well done."),
        ('Well done." [end of conversation]', "Well done."),
        ("Well done. End of conversation.", "Well done."),
        ("Alright, [end of conversation].", "Alright"),
        ("Bye! [End of conversation] (The bell rings)", "Bye!"),
        ("Good bye **End of conversation**", "Good bye"),
        ("Good bye\nEnd of conversation", "Good bye"),
        ("I see. [End of conversation] Wait, one more question?", "I see."),
    ],
)
def test_an_appended_end_marker_is_taken_off(text: str, spoken: str) -> None:
    assert ends_conversation(text)
    assert spoken_text(text) == spoken


@pytest.mark.parametrize(
    "text",
    [
        "By the end of conversation practice you will know ten verbs.",
        "Let us end the conversation here.",
        "We vote at the end of conversation.",
        "This is not the **end of conversation** about levers.",
        "Is this the end?",
    ],
)
def test_talk_about_an_end_is_no_end_marker(text: str) -> None:
    assert not ends_conversation(text)
    assert spoken_text(text) == text


@pytest.mark.parametrize("tail", ['",', '"",', '" ,', '"', "\"',", '"", ', ","])
def test_stray_quotes_and_commas_are_taken_off(tail: str) -> None:
    assert spoken_text(f"Shall we go on?{tail}") == "Shall we go on?"


@pytest.mark.parametrize("tail", ["", '",', ","])
def test_a_quotation_keeps_its_closing_quote(tail: str) -> None:
    assert spoken_text(f'She cried "stop!"{tail}') == 'She cried "stop!"'


def test_an_annotation_behind_a_stray_quote_was_not_spoken() -> None:
    assert spoken_text('What is a root?" (Formative assessment)') == "What is a root?"
    assert spoken_text('What is a root?" [Draws a plant]') == "What is a root?"


def test_what_is_in_brackets_without_a_stray_quote_stays() -> None:
    assert spoken_text("(silence)") == "(silence)"
    assert spoken_text('He said "no" (twice)') == 'He said "no" (twice)'
