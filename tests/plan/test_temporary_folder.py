"""Ray makes sockets below TMPDIR; a folder that cannot hold them is named before Ray starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curio_ray.plan.temporary_folder import longest_name_below, temporary_folder_problems

PID_DIGITS = len(str(os.getpid()))
LONGEST = 46 - PID_DIGITS


def said(**environment: str) -> str:
    return "\n".join(temporary_folder_problems(environment))


def of_length(folder: Path, length: int) -> str:
    """A path of so many bytes below the root, whose folders need not exist."""
    return "/tmp/".ljust(length, "a")


def test_without_the_variables_ray_takes_tmp() -> None:
    assert said() == ""


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_that_holds_the_longest_socket_is_taken(name: str, tmp_path: Path) -> None:
    assert said(**{name: of_length(tmp_path, LONGEST)}) == ""


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("excess", [1, 2, 10, 60])
def test_a_longer_folder_is_named_with_the_length_that_is_allowed(
    name: str, excess: int, tmp_path: Path
) -> None:
    text = said(**{name: of_length(tmp_path, LONGEST + excess)})
    assert text.startswith(f"{name}: /tmp/aaa")
    assert f"has {LONGEST + excess} bytes" in text
    assert f"set {name} to a folder of at most {LONGEST} bytes, such as /tmp" in text


def test_bytes_count_not_letters() -> None:
    assert "bytes" in said(TMPDIR="/tmp/" + "ü" * (LONGEST - 10))


def test_rays_own_variable_goes_first(tmp_path: Path) -> None:
    assert said(RAY_TMPDIR="/tmp", TMPDIR=of_length(tmp_path, 90)) == ""


@pytest.mark.parametrize("below", ["", "/deeper", "/deeper/still"])
def test_a_file_is_no_folder(below: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = Path("/tmp") / f"file-{os.getpid()}"
    file.write_text("")
    try:
        assert said(TMPDIR=f"{file}{below}") == (
            f"TMPDIR: {file} is a file; set TMPDIR to a folder such as /tmp, or unset it"
        )
    finally:
        file.unlink()


@pytest.mark.parametrize("text", ["", "tmp", "./tmp", "../x"])
def test_a_path_that_is_not_absolute_is_named(text: str) -> None:
    assert "is no absolute path; set TMPDIR to a folder such as /tmp" in said(TMPDIR=text)


def test_the_longest_socket_is_as_ray_makes_it() -> None:
    from ray._private.utils import validate_socket_filepath

    validate_socket_filepath("a" * LONGEST + longest_name_below())
    with pytest.raises(OSError, match="107 bytes"):
        validate_socket_filepath("a" * (LONGEST + 1) + longest_name_below())
