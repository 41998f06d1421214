"""Says, before anything is installed, whether this machine can hold the environment and a run.

Uses the standard library alone.
"""

import os
import shutil
import sys
from pathlib import Path

ENVIRONMENT_GIB = 6.0
RUN_MEMORY_GIB = 6.0


def available_memory_gib() -> float:
    """Memory that could be had now; all there is where the system does not tell."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def problems(environment: Path) -> list[str]:
    """What stands in the way, one sentence each."""
    found = []
    free = shutil.disk_usage(environment.parent).free / 2**30
    if not environment.exists() and free < ENVIRONMENT_GIB:
        found.append(
            f"{free:.1f} GiB of disk space are free here and the environment needs "
            f"{ENVIRONMENT_GIB:.0f}; make room or move the checkout to another disk"
        )
    memory = available_memory_gib()
    if memory < RUN_MEMORY_GIB:
        found.append(
            f"{memory:.1f} GiB of memory are available and a run needs about "
            f"{RUN_MEMORY_GIB:.0f}; close other programs first"
        )
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]).absolute())) or 0)
