"""A real pretrained model, for claims that the packaged models are too well behaved to show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def smollm_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SmolLM2-135M-Instruct as a folder that a server can load."""
    from curio_ray.pocket.smollm2 import write_model

    folder = tmp_path_factory.mktemp("smollm2")
    write_model(folder)
    yield str(folder)
    shutil.rmtree(folder)
