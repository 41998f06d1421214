"""The architecture page counts the files on a token's way and on the weights' way back."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "understand" / "architecture.md").read_text()
MOST_FILES = {"A token's way from server to loss": 16, "The weights' way back": 9}


def files_of(way: str) -> list[str]:
    """The files in the table below a way's name, in order."""
    table = PAGE.split(f"**{way}**")[1].split("\n\n")[1]
    return re.findall(r"^\| \d+ \| `([^`]+)` \|", table, re.MULTILINE)


def test_a_way_takes_no_more_files_than_it_may() -> None:
    assert {way: len(files_of(way)) for way in MOST_FILES} == MOST_FILES


def test_every_file_on_a_way_is_there() -> None:
    missing = [
        file for way in MOST_FILES for file in files_of(way) if not (REPOSITORY / file).is_file()
    ]
    assert not missing
