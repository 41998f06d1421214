"""The environment of a checkout: where no index answers, and where the checkout was moved."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A checkout's Makefile and requirements, with an environment that stands for a ready one."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    script = folder / ".venv" / "bin" / "pip"
    script.parent.mkdir(parents=True)
    write_script(script, f"#!{folder}/.venv/bin/python\n")
    (folder / ".venv" / ".ready").touch()
    return folder


def write_script(path, first):
    path.write_text(first + "import pip\n")
    path.chmod(0o755)


def is_in_place(environment, folder):
    script = ROOT / "requirements" / "in_place.sh"
    return subprocess.run([script, environment], cwd=folder, check=False).returncode == 0


def would_be_set_up(folder):
    said = subprocess.run(
        ["make", "--dry-run", ".venv/.ready"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return "set_up.sh" in said.stdout


def test_a_ready_environment_is_left_alone(checkout):
    assert not would_be_set_up(checkout)


@pytest.mark.parametrize("way", [shutil.move, shutil.copytree])
def test_an_environment_that_is_elsewhere_is_set_up_anew(way, checkout):
    other = checkout.with_name("elsewhere")
    way(checkout, other)
    assert would_be_set_up(other)


def test_an_environment_whose_checkout_above_was_renamed_is_set_up_anew(checkout):
    parent = checkout.parent.rename(checkout.parent.with_name("renamed"))
    assert would_be_set_up(parent / "checkout")


@pytest.mark.parametrize("missing", ["bin/pip", ".ready"])
def test_an_environment_that_is_not_whole_is_set_up_anew(missing, checkout):
    (checkout / ".venv" / missing).unlink()
    assert would_be_set_up(checkout)


def test_an_environment_behind_a_link_is_in_place(checkout):
    kept = checkout.with_name("kept")
    (checkout / ".venv").rename(kept)
    write_script(kept / "bin" / "pip", f"#!{kept}/bin/python\n")
    (checkout / ".venv").symlink_to(kept)
    assert is_in_place(".venv", checkout)
    assert not would_be_set_up(checkout)


def test_a_script_whose_path_is_too_long_for_a_first_line_is_read(checkout):
    python = f"{checkout}/.venv/bin/python"
    write_script(checkout / ".venv/bin/pip", f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n")
    assert is_in_place(".venv", checkout)


@pytest.mark.parametrize("environment", [".venv", "{checkout}/.venv"])
def test_an_environment_is_in_place_by_any_name(environment, checkout):
    assert is_in_place(environment.format(checkout=checkout), checkout)


@pytest.mark.slow
def test_without_any_index_one_sentence_says_so(tmp_path):
    closed = "http://127.0.0.1:1"
    environment = {
        name: value for name, value in os.environ.items() if not name.upper().startswith("PIP_")
    } | {"PIP_CONFIG_FILE": "/dev/null", "https_proxy": closed, "http_proxy": closed}
    ended = subprocess.run(
        [ROOT / "requirements" / "set_up.sh", str(tmp_path / "env"), ""],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("no package index can be reached, neither pip's own nor https:")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "PIP_INDEX_URL" in ended.stderr
