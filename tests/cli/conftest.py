"""Runs the command line in a process of its own and tells which modules it imported."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Imports the command line once; each line of its input is a command, run in a fork. The last line
# of a command's output tells the heavy modules that it imported.
RUN = """
import atexit, json, os, sys
from curio_ray.commands.main import main

def report():
    heavy = {"ray", "torch", "vllm", "transformers", "deepspeed"} & set(sys.modules)
    sys.stdout.write("\\nheavy:" + ",".join(sorted(heavy)))

for line in sys.stdin:
    sys.argv, folder, output, error, environment = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT), 2)
        os.chdir(folder)
        os.environ.update({"HOME": folder} | environment)
        atexit.register(report)
        main()
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "COLUMNS": "200",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


@dataclass
class Ended:
    """How a command ended."""

    code: int
    output: str
    error: str
    heavy_modules: list[str]


@pytest.fixture(scope="session")
def command_line() -> Iterator[subprocess.Popen[str]]:
    """The process whose forks are commands."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def curio(
    command_line: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Ended]:
    """Calls `curio` with arguments, in an empty folder, on a wide terminal."""

    def run(*arguments: str, **environment: str) -> Ended:
        printed = tmp_path_factory.mktemp("printed")
        output, error = printed / "output", printed / "error"
        command = [["curio", *arguments], str(tmp_path), str(output), str(error), environment]
        command_line.stdin.write(json.dumps(command) + "\n")
        command_line.stdin.flush()
        code = int(command_line.stdout.readline())
        shown, _, heavy = output.read_text().rpartition("\nheavy:")
        return Ended(code, shown, error.read_text(), [name for name in heavy.split(",") if name])

    return run
