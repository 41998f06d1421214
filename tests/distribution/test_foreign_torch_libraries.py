"""Libraries of torch that cannot be imported beside its CPU build do not stop a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

each_library = pytest.mark.parametrize("library", ["torchvision", "torchaudio", "torchcodec"])


def is_found(site: Path, library: str, version: str, torch: str) -> bool:
    """Whether a library is found beside torch, both fakes of a version that hold nothing else."""
    for name, number in {"torch": torch, library: version}.items():
        (site / name).mkdir()
        (site / name / "__init__.py").touch()
        metadata = site / f"{name}-{number}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    looked_for = f"print(importlib.util.find_spec({library!r}) is not None)"
    code = f"import curio_ray, importlib.util\n{looked_for}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip() == "True"


@each_library
def test_a_library_for_cuda_is_hidden_beside_torch_for_cpus(tmp_path, library):
    assert not is_found(tmp_path, library, "0.28.0", torch="2.13.0+cpu")


def test_a_library_for_cpus_is_found_beside_torch_for_cpus(tmp_path):
    assert is_found(tmp_path, "torchvision", "0.28.0+cpu", torch="2.13.0+cpu")


def test_a_library_for_cuda_is_found_beside_torch_for_cuda(tmp_path):
    assert is_found(tmp_path, "torchvision", "0.28.0", torch="2.13.0")
