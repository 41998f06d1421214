"""The Slurm script is sound shell and starts what exists."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm.sh"
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_shellcheck_finds_nothing():
    linter = shutil.which("shellcheck", path=PROGRAMS)
    assert linter, "shellcheck is missing; make test installs requirements/cpu.txt, which has it"
    ended = subprocess.run([linter, SCRIPT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_configs_that_the_script_names_exist():
    named = [word for word in SCRIPT.read_text().split() if word.startswith("configs/")]
    assert named
    assert all((SCRIPT.parents[1] / name).is_file() for name in named)
