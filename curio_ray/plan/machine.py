"""What this machine has: memory, cores, GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Resources free at this moment. `gpus` counts the visible devices."""

    available_bytes: int
    cores: int
    gpus: int


def read_machine() -> Machine:
    """Look at this machine, within the limits of its container if it is one."""
    available = min([psutil.virtual_memory().available, *_cgroup_available()])
    return Machine(available, len(psutil.Process().cpu_affinity()), _count_gpus())


def _cgroup_available() -> list[int]:
    found = []
    for limit_name, usage_name in _CGROUP_FILES:
        limit, usage = _CGROUP / limit_name, _CGROUP / usage_name
        if limit.is_file() and usage.is_file() and (text := limit.read_text().strip()) != "max":
            found.append(int(text) - int(usage.read_text()))
    return found


def _count_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
