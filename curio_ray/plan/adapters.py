"""The learner's adapters: how large they are, and whether the model has the layers for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from curio_ray.config.learner import LoraConfig
from curio_ray.plan.model_size import ModelSize
from curio_ray.plan.models import Model


def adapter_parameters(size: ModelSize, lora: LoraConfig) -> int:
    """Parameters of the adapters in a Llama-like model: rank · (inputs + outputs) for each layer.

    A name that such a model does not have counts like its largest layer.
    """
    hidden, inner = size.hidden, size.intermediate
    ends = {
        "q_proj": 2 * hidden,
        "k_proj": hidden + size.key_value_width,
        "v_proj": hidden + size.key_value_width,
        "o_proj": 2 * hidden,
        "gate_proj": hidden + inner,
        "up_proj": hidden + inner,
        "down_proj": hidden + inner,
    }
    names = list(ends) if lora.targets == "all-linear" else lora.targets
    return size.layers * lora.rank * sum(ends.get(name, hidden + inner) for name in names)


def adapter_problems(lora: LoraConfig | None, model: Model) -> Iterator[str]:
    """A line for each name in `learner.lora.targets` that a model on this machine lacks."""
    if lora is None or lora.targets == "all-linear" or model.folder is None:
        return
    layers = _matrix_names(model.folder)
    for target in lora.targets:
        if layers and target not in layers:
            yield (
                f"learner.lora.targets: {model.name} has no layer '{target}'; write all-linear or "
                f"some of: {', '.join(sorted(layers))}"
            )


def _matrix_names(folder: Path) -> set[str]:
    """The last names of all layers that hold a matrix, without embeddings and output head."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for key in file.keys():  # noqa: SIM118
                if key.endswith(".weight") and len(file.get_slice(key).get_shape()) == 2:
                    names.add(key.split(".")[-2])
    return names - {"embed_tokens", "lm_head"}
