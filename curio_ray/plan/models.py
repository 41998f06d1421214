"""Where a server's model lies and how large it is, without loading it."""

from __future__ import annotations

import json
import math
import os
import struct
import urllib.error
import urllib.request
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from curio_ray.errors import ConfigError
from curio_ray.models.locate import locate_model

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_HUB_TIMEOUT_S = 2.0


class Source(Enum):
    """Where a model is to be found."""

    FOLDER = "folder"
    CACHE = "Hugging Face cache"
    HUB = "to be downloaded"
    UNREACHABLE = "not here, hub unreachable"


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameter count and the shape that decides the KV cache. `context` is the longest input."""

    parameters: int
    layers: int
    hidden: int
    key_value_width: int
    intermediate: int
    context: int | None

    def key_value_bytes(self, dtype: str) -> int:
        """Bytes of keys and values of one token over all layers."""
        return 2 * self.layers * self.key_value_width * BYTES[dtype]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as found. `folder` and `size` are None where it is not on this machine."""

    name: str
    source: Source
    folder: Path | None
    size: ModelSize | None


def find_model(field: str, name: str) -> Model:
    """Find the model that the config's `field` names.

    Raises:
        ConfigError: the folder is missing or is not a model's, or the hub knows no such model.
    """
    try:
        located = locate_model(name)
    except ConfigError as error:
        raise ConfigError(f"{field}: {error}") from error
    if located != name or Path(located).is_dir():
        return Model(name, Source.FOLDER, Path(located), read_size(field, Path(located)))
    if name.count("/") > 1:
        raise ConfigError(
            f"{field}: there is no folder {name}; write an existing model folder, a Hugging Face "
            "id such as org/model, pocket:policy or pocket:world"
        )
    cached = _cached_folder(name)
    if cached is not None:
        return Model(name, Source.CACHE, cached, read_size(field, cached))
    return Model(name, _ask_hub(field, name), None, None)


def read_size(field: str, folder: Path) -> ModelSize:
    """Read a model's size from its config.json and the headers of its weights.

    Raises:
        ConfigError: config.json is damaged or lacks the sizes of a language model.
    """
    try:
        values = json.loads((folder / "config.json").read_text())
        values = values.get("text_config", values)
        heads = values["num_attention_heads"]
        head_width = values.get("head_dim") or values["hidden_size"] // heads
        key_value_heads = values.get("num_key_value_heads") or heads
        layers, hidden = values["num_hidden_layers"], values["hidden_size"]
        intermediate = values.get("intermediate_size") or 4 * hidden
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise ConfigError(
            f"{field}: {folder}/config.json cannot be used ({error!r}); write the folder of a "
            "language model saved with save_pretrained"
        ) from error
    return ModelSize(
        parameters=_stored_parameters(folder)
        or _estimate_parameters(values, head_width, key_value_heads, intermediate),
        layers=layers,
        hidden=hidden,
        key_value_width=key_value_heads * head_width,
        intermediate=intermediate,
        context=values.get("max_position_embeddings"),
    )


def _stored_parameters(folder: Path) -> int:
    return sum(_safetensors_parameters(path) for path in folder.glob("*.safetensors"))


def _safetensors_parameters(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(
        math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__"
    )


def _estimate_parameters(
    values: dict[str, Any], head_width: int, key_value_heads: int, intermediate: int
) -> int:
    """The parameter count of a Llama-like model."""
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    attention = 2 * hidden * head_width * (heads + key_value_heads)
    layer = attention + 3 * hidden * intermediate + 2 * hidden
    embeddings = 1 if values.get("tie_word_embeddings") else 2
    vocabulary = embeddings * values.get("vocab_size", 0) * hidden
    return vocabulary + values["num_hidden_layers"] * layer + hidden


def _cached_folder(name: str) -> Path | None:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def _ask_hub(field: str, name: str) -> Source:
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return Source.UNREACHABLE
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    request = urllib.request.Request(f"{hub}/{name}/resolve/main/config.json", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_HUB_TIMEOUT_S):
            return Source.HUB
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise ConfigError(
                f"{field}: there is no folder {name} and {hub} knows no such model; write an "
                "existing model folder, a Hugging Face id, pocket:policy or pocket:world"
            ) from error
        return Source.HUB
    except OSError:
        return Source.UNREACHABLE
