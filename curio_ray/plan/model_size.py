"""How large a language model is: from its folder, or from the values of its config.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curio_ray.architectures import architecture_of
from curio_ray.errors import ConfigError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameter count and the shape that decides KV cache and activations.

    `context` is the longest input in tokens. `estimated` says that `parameters` follows from the
    shape by a formula, not from the stored weights. `capped_scores` says that the model caps its
    attention scores, as Gemma 2 does, for which the learner has no fused kernel.
    """

    parameters: int
    layers: int
    hidden: int
    key_value_width: int
    intermediate: int
    context: int | None
    estimated: bool = False
    heads: int = 0
    vocabulary: int = 0
    capped_scores: bool = False

    def key_value_bytes(self, dtype: str) -> int:
        """Bytes of keys and values of one token over all layers."""
        return 2 * self.layers * self.key_value_width * BYTES[dtype]


def read_size(field: str, folder: Path) -> ModelSize:
    """Read a model's size from its config.json and the headers of its weights.

    Raises:
        ConfigError: config.json is damaged or lacks the sizes of a language model.
    """
    values: Any = {}
    try:
        values = json.loads(_not_a_pointer((folder / "config.json").read_bytes()))
        return size_of(values, _stored_parameters(folder))
    except KeyError as error:
        raise ConfigError(
            f"{field}: {folder}/config.json, of {architecture_of(values)}, has no {error}; write "
            "the folder of a causal language model"
        ) from error
    except _DamagedError as error:
        raise ConfigError(f"{field}: {folder}: {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{field}: {folder}/config.json cannot be used ({error!r}); write the folder of a "
            "language model saved with save_pretrained"
        ) from error


_OTHER_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "intermediate_size": ("n_inner", "ffn_dim"),
    "max_position_embeddings": ("n_positions",),
}
"""How the first architectures of a kind, such as GPT-2, call what later ones have in common."""


def _with_usual_names(values: Mapping[str, Any]) -> Mapping[str, Any]:
    known = dict(values)
    for name, others in _OTHER_NAMES.items():
        for other in others:
            if known.get(name) is None and known.get(other) is not None:
                known[name] = known[other]
    return known


def size_of(values: Mapping[str, Any], parameters: int | None = None) -> ModelSize:
    """The size that the values of a config.json tell; `parameters` where the count is known.

    Raises:
        KeyError: a size of a language model is missing.
    """
    values = _with_usual_names(values.get("text_config", values))
    heads, hidden = values["num_attention_heads"], values["hidden_size"]
    head_width = values.get("head_dim") or hidden // heads
    key_value_heads = values.get("num_key_value_heads") or heads
    intermediate = values.get("intermediate_size") or 4 * hidden
    return ModelSize(
        parameters=parameters
        or _estimate_parameters(values, head_width, key_value_heads, intermediate),
        layers=values["num_hidden_layers"],
        hidden=hidden,
        key_value_width=key_value_heads * head_width,
        intermediate=intermediate,
        context=values.get("max_position_embeddings"),
        estimated=not parameters,
        heads=heads,
        vocabulary=values.get("vocab_size", 0),
        capped_scores=values.get("attn_logit_softcapping") is not None,
    )


def _stored_parameters(folder: Path) -> int:
    return sum(_safetensors_parameters(path) for path in folder.glob("*.safetensors"))


class _DamagedError(ValueError):
    """A file of a model that is not whole; its message says what to do."""


def _not_a_pointer(start: bytes) -> bytes:
    if start.startswith(b"version https://git-lfs."):
        raise _DamagedError("holds pointers of Git LFS, not the files; call 'git lfs pull' there")
    return start


def _safetensors_parameters(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = _not_a_pointer(file.read(32))
        length = int.from_bytes(start[:8], "little")
        if size < 8 or length > size - 8:
            raise _DamagedError(f"{path.name} is cut off or damaged; fetch the model again")
        file.seek(8)
        header = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if max(ends, default=0) > size - 8 - length:
        raise _DamagedError(f"{path.name} is cut off; fetch the model again")
    return sum(
        math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__"
    )


def _estimate_parameters(
    values: Mapping[str, Any], head_width: int, key_value_heads: int, intermediate: int
) -> int:
    """The parameter count of a Llama-like model."""
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    attention = 2 * hidden * head_width * (heads + key_value_heads)
    layer = attention + 3 * hidden * intermediate + 2 * hidden
    embeddings = 1 if values.get("tie_word_embeddings") else 2
    vocabulary = embeddings * values.get("vocab_size", 0) * hidden
    return vocabulary + values["num_hidden_layers"] * layer + hidden


_FILE = Path(__file__).with_name("known_models.json")


def known_size(name: str) -> ModelSize | None:
    """The size of a model by its Hugging Face id, or None where the list does not have it."""
    values = known_models().get(name)
    return None if values is None else size_of(values, values["parameters"])


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """By Hugging Face id: the sizes in the model's config.json and its count of parameters."""
    return json.loads(_FILE.read_text())
