"""Runs the command line in a process of its own and tells which modules it imported."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Prints the heavy modules that were imported when the command ends, on the last line.
RUN = """
import atexit, sys
def report():
    heavy = {"ray", "torch", "vllm", "transformers", "deepspeed"} & set(sys.modules)
    sys.stdout.write("\\nheavy:" + ",".join(sorted(heavy)))
atexit.register(report)
sys.argv[0] = "curio"
from curio_ray.commands.main import main
main()
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    output: str
    error: str
    heavy_modules: list[str]


@pytest.fixture
def curio(tmp_path: Path) -> Callable[..., Ended]:
    """Calls `curio` with arguments, in an empty folder, on a wide terminal."""

    def run(*arguments: str, **environment: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(tmp_path)}
            | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            | environment,
        )
        output, _, heavy = ended.stdout.rpartition("\nheavy:")
        return Ended(
            ended.returncode, output, ended.stderr, [name for name in heavy.split(",") if name]
        )

    return run
