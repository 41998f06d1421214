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
    cores = len(psutil.Process().cpu_affinity())
    quota = cpu_quota(_CGROUP)
    # Ray rounds a share of a core down as well
    return Machine(available, cores if quota is None else min(cores, int(quota)), _count_gpus())


def cpu_quota(cgroup: Path) -> float | None:
    """How many cores a container's time share amounts to, or None where it is not limited."""
    newer = cgroup / "cpu.max"
    older = cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us"
    if newer.is_file():
        quota, period = newer.read_text().split()
    elif all(file.is_file() for file in older):
        quota, period = (file.read_text().strip() for file in older)
    else:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)


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
