"""The images' recipes are sound, pinned, unprivileged, and copy what exists."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instruction and arguments, with continued lines joined and comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


@each_file
def test_hadolint_finds_nothing(file):
    linter = shutil.which("hadolint", path=PROGRAMS)
    assert linter, "hadolint is missing; make test installs requirements/cpu.txt, which has it"
    ended = subprocess.run(
        [linter, "--no-color", file], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


@each_file
def test_bases_are_pinned_to_a_version(file):
    sources = [rest.split()[0] for name, rest in instructions(file) if name == "FROM"]
    sources += re.findall(r"--from=(\S+/\S+)", file.read_text())
    assert sources
    for source in sources:
        tag = source.rpartition(":")[2]
        assert re.match(r"\d+\.\d+\.\d+", tag), source


@each_file
def test_the_image_does_not_run_as_root(file):
    users = [rest for name, rest in instructions(file) if name == "USER"]
    assert users
    assert users[-1].split(":")[0] not in ("0", "root")


@each_file
def test_the_image_has_a_health_check(file):
    assert any(name == "HEALTHCHECK" for name, _ in instructions(file))


@each_file
def test_what_is_copied_from_the_checkout_exists_and_is_sent(file):
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    for name, rest in instructions(file):
        if name != "COPY" or "--from=" in rest:
            continue
        *sources, _ = [word for word in rest.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, each) for each in sent), source


@each_file
def test_each_image_installs_the_lock_of_its_name(file):
    text = file.read_text()
    assert re.search(r"python[:\s]+3\.11\.", text)
    assert re.search(rf"--no-deps\s.*requirements/{file.stem}\.txt", text)


@each_file
def test_a_login_shell_finds_the_programs(file):
    before, _, after = file.read_text().partition("/etc/profile.d/curio.sh")
    assert before.splitlines()[-1] == "RUN echo 'export PATH=/opt/curio/bin:$PATH' > "
    assert "USER 1000:1000" in after
