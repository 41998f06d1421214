"""Options of a user's own class arrive as the types that its annotations name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from curio_ray.config.plugin_options import typed_options
from curio_ray.errors import ConfigError

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass
class Guests:
    """What a user may annotate."""

    count: int = 1
    share: float = 0.5
    name: str = ""
    loud: bool = False
    drinks: tuple[str, ...] = ()
    ages: Sequence[int] = ()
    file: Path | None = None
    kind: Literal["tea", "coffee"] = "tea"
    weights: np.ndarray | None = None


@pytest.mark.parametrize(
    ("name", "given", "arrives"),
    [
        ("count", 100.0, 100),
        ("count", "12", 12),
        ("share", 1, 1.0),
        ("share", "2.5e-1", 0.25),
        ("loud", "yes", True),
        ("drinks", ["tea"], ("tea",)),
        ("ages", [30.0], [30]),
        ("file", "a/b", Path("a/b")),
        ("file", None, None),
        ("weights", [1, 2], [1, 2]),
    ],
)
def test_an_option_arrives_as_its_annotation_says(name, given, arrives):
    typed = typed_options(Guests, {name: given}, "task.options")[name]
    assert (typed, type(typed)) == (arrives, type(arrives))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 1.5}, r"task\.options\.count: 1\.5 does not work; write a whole number"),
        ({"count": "many"}, r"task\.options\.count: 'many' does not work; write a whole number"),
        ({"share": "half"}, r"task\.options\.share: 'half' does not work; write a number"),
        ({"share": "inf"}, r"task\.options\.share: .*; write a finite number"),
        ({"name": False}, r"task\.options\.name: False does not work; write text"),
        ({"drinks": "tea"}, r"task\.options\.drinks: 'tea' does not work; write a list"),
        ({"drinks": [False]}, r"task\.options\.drinks\.0: False does not work; write text"),
        ({"ages": {"a": 1}}, r"task\.options\.ages"),
        ({"loud": 7}, r"task\.options\.loud: 7 does not work; write true or false"),
        ({"kind": "milk"}, r"task\.options\.kind: 'milk' does not work; write one of: tea, coff"),
    ],
)
def test_an_option_of_another_type_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        typed_options(Guests, options, "task.options")


def test_options_without_annotations_stay_as_they_are():
    def plain(seed, guests=3, **others):
        return seed, guests, others

    options = {"guests": "1", "more": [1]}
    assert typed_options(plain, options, "task.options") == options


def test_an_annotation_for_type_checkers_alone_is_no_error():
    def taking(share: Fraction) -> Fraction:
        return share

    assert typed_options(taking, {"share": "1/2"}, "task.options") == {"share": "1/2"}
