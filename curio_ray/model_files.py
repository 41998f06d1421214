"""The files of a model's folder besides its weights, and a trained model with those of its start.

transformers would write some of them in its own words, and refuses to write others that it read:
older models have a generation_config.json with a temperature and no do_sample.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curio_ray.model_paths import locate_model

WEIGHT_FILES = ("*.safetensors", "*.bin", "*.gguf", "*.index.json", "config.json")
"""What a trained model has of its own."""

_SMALL_FILES = ["*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt", "LICENSE*"]


def save_like_start(
    model: Any, start: str, folder: Path, tensors: Mapping[str, Any] | None = None
) -> None:
    """Write config.json and safetensors, and the start model's other files byte for byte.

    Args:
        model: a transformers model.
        start: the folder or Hugging Face id that it was loaded from.
        folder: to write to.
        tensors: the weights by name; by default the model's own.
    """
    save_weights(model, folder, tensors)
    for file in _other_files(start_folder(start)):
        shutil.copyfile(file, folder / file.name)


def save_weights(model: Any, folder: Path, tensors: Mapping[str, Any] | None = None) -> None:
    """Write config.json and safetensors alone."""
    from transformers import GenerationConfig

    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        model.save_pretrained(folder, state_dict=tensors)
    finally:
        model.generation_config = own
    (folder / "generation_config.json").unlink(missing_ok=True)


def end_ids(model: str) -> tuple[int, ...]:
    """The ids with which a model ends its turns, as its files say.

    Those of generation_config.json, and without that those of config.json.

    Args:
        model: a Hugging Face id, a local folder or a packaged model.
    """
    located = locate_model(model)
    for name in ("generation_config.json", "config.json"):
        file = _find(located, name)
        if file is not None:
            ends = json.loads(file.read_text()).get("eos_token_id")
            return tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,)
    return ()


def _find(located: str, name: str) -> Path | None:
    if Path(located).is_dir():
        return file if (file := Path(located) / name).is_file() else None
    from transformers.utils import cached_file

    try:
        found = cached_file(located, name)
    except OSError:
        return None
    return None if found is None else Path(found)


def start_folder(model: str) -> Path:
    """Where the files of a folder or Hugging Face id lie; what is missing is downloaded."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model, allow_patterns=_SMALL_FILES))


def _other_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.is_file() and not any(file.match(pattern) for pattern in WEIGHT_FILES):
            yield file
