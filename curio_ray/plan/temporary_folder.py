"""Whether Ray can keep its sockets in the folder for temporary files that the environment names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

# of a Unix socket, without the NUL at its end: sun_path in sys/un.h
_LONGEST_SOCKET = 107
_VARIABLES = ("RAY_TMPDIR", "TMPDIR")


def temporary_folder_problems(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """What keeps Ray from starting below the temporary folder, and what to write instead.

    Args:
        environment: of the command; this process's own by default.
    """
    environment = os.environ if environment is None else environment
    name = next((each for each in _VARIABLES if each in environment), None)
    if name is None:
        return
    text = environment[name]
    folder, advice = Path(text), f"set {name} to a folder such as /tmp, or unset it"
    if not folder.is_absolute():
        yield f"{name}: {text or 'is empty'}: is no absolute path; {advice}"
        return
    allowed = _LONGEST_SOCKET - len(longest_name_below())
    if (length := len(os.fsencode(text))) > allowed:
        yield (
            f"{name}: {text} has {length} bytes, and the path of a socket that Ray makes below it "
            f"has room for {_LONGEST_SOCKET} in all; set {name} to a folder of at most {allowed} "
            "bytes, such as /tmp, or unset it"
        )
    try:
        existing = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError as error:
        yield f"{name}: {text}: cannot be used ({error.strerror}); {advice}"
        return
    if not existing.is_dir():
        yield f"{name}: {existing} is a file; {advice}"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"{name}: {existing} cannot be written to; {advice}"


def longest_name_below() -> str:
    """What Ray puts behind the folder's path for the longest of its sockets."""
    session = f"session_{datetime(2000, 1, 1):%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}"
    return f"/ray/{session}/sockets/plasma_store"
