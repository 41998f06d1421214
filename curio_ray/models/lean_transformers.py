"""transformers in a process that only needs its tokenizers."""

from __future__ import annotations

import os
import sys

QUIET = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


def import_transformers_without_torch() -> None:
    """Import transformers as where PyTorch is not installed, which saves 0.2 GiB and two seconds.

    All of transformers' tokenizers work in this mode, its models do not. PyTorch itself can be
    imported afterwards. Where PyTorch or transformers is there already, nothing is changed.
    """
    if "torch" in sys.modules or "transformers" in sys.modules:
        return
    was_quiet = os.environ.get(QUIET)
    sys.modules["torch"] = None  # type: ignore[assignment]  # what Python asks of a hidden module
    # transformers would warn that its models cannot be used.
    os.environ[QUIET] = "1"
    try:
        import transformers  # noqa: F401
        from transformers import AutoTokenizer  # noqa: F401 - loads what looks for torch
    finally:
        del sys.modules["torch"]
        if was_quiet is None:
            del os.environ[QUIET]
        else:
            os.environ[QUIET] = was_quiet
