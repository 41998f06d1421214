"""TRL's side of benchmarks/against_trl.py: its environment and its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks" / "trl" / "train.py"
LOCK = ROOT / "benchmarks" / "trl" / "requirements.txt"
# Where pip's own index lacks the CPU build of torch, PyTorch's has it.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
END_DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Round:
    """What one side did while it was measured; `phases` holds seconds."""

    seconds: float
    dialogues: int
    policy_turns: int
    policy_tokens: int
    context_tokens: int
    reward: float
    phases: dict[str, float]


class TrlProcess:
    """TRL's trainer in a process of its own, which takes steps on command."""

    def __init__(self, python: Path, settings: dict[str, Any]) -> None:
        self._pipes = subprocess.Popen(
            [str(python), str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(settings["threads"]),
                "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}",
                "TRL_EXPERIMENTAL_SILENCE": "1",
            },
        )
        self.process = psutil.Process(self._pipes.pid)
        self._tell(json.dumps(settings))
        self._answer()

    def run(self, steps: int) -> Round:
        """Take some optimizer steps, each with a batch of new dialogues."""
        self._tell(str(steps))
        return Round(**self._answer())

    def stop(self) -> None:
        """End the process."""
        self._pipes.communicate(timeout=END_DEADLINE_S)

    def _tell(self, line: str) -> None:
        assert self._pipes.stdin is not None
        self._pipes.stdin.write(line + "\n")
        self._pipes.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._pipes.stdout is not None
        line = self._pipes.stdout.readline()
        if not line:
            raise RuntimeError(f"TRL's process ended with code {self._pipes.wait()}")
        return json.loads(line)


def environment_python(folder: Path) -> Path:
    """The interpreter of TRL's environment, which is made where it is missing or outdated."""
    python, note = folder / "bin" / "python", folder / "made-from.txt"
    lock = LOCK.read_text()
    if note.exists() and note.read_text() == lock:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps"]
    torch = next(line for line in lock.splitlines() if line.startswith("torch=="))
    print(f"installing {torch}, then {LOCK.name}, into {folder}", flush=True)
    if subprocess.run([*install, torch], stderr=subprocess.DEVNULL).returncode:
        subprocess.run([*install, "--index-url", TORCH_INDEX, torch], check=True)
    subprocess.run([*install, "-r", str(LOCK)], check=True)
    note.write_text(lock)
    return python
