"""Sizes of well-known models, for plans where neither their folder nor a hub is at hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from curio_ray.plan.model_size import ModelSize, size_of

_FILE = Path(__file__).with_name("known_models.json")


def known_size(name: str) -> ModelSize | None:
    """The size of a model by its Hugging Face id, or None where the list does not have it."""
    values = known_models().get(name)
    return None if values is None else size_of(values, values["parameters"])


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """By Hugging Face id: the sizes in the model's config.json and its count of parameters."""
    return json.loads(_FILE.read_text())
