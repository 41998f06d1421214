"""The wheel holds what a run needs, so that it works without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "configs", "curio_ray")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the sources: a build leaves folders behind."""
    copy, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, copy], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package_and_every_config(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = [path for path in (ROOT / "curio_ray").rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(ROOT).as_posix() for path in tracked if "__pycache__" not in path.parts
    }
    wanted |= {
        f"curio_ray/packaged_configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")
    }
    assert "curio_ray/py.typed" in wanted
    assert not wanted - packed


def test_the_wheel_holds_the_licence_and_says_which(wheel):
    archive = zipfile.ZipFile(wheel)
    (licence,) = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()


def test_an_installed_wheel_reads_its_configs_and_models_without_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "from curio_ray.config import load_config\n"
        "from curio_ray.config.packaged import packaged_config\n"
        "print(packaged_config('pocket'))\n"
        "print(load_config(packaged_config('pocket')).servers['policy'].model)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    config, model = ended.stdout.split()
    assert Path(config).is_relative_to(site)
    assert model == "pocket:policy"
