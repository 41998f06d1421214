"""Language models from Hugging Face folders, made ready for the learner: policy and reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from curio_ray.architectures import NOT_REPLACED, architecture_of, not_repeated
from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.known_tokens import Ranges
from curio_ray.learner.attention import PACKED_ATTENTION, register_packed_attention
from curio_ray.learner.lora import add_adapters
from curio_ray.learner.model import PolicyModel, PolicyWithStates
from curio_ray.model_weights import explain_missing

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def build_policy(
    model_path: str,
    config: LearnerConfig,
    temperature: float,
    seed: int,
    unknown: Ranges = (),
) -> PolicyWithStates:
    """Load the start policy; fresh adapters are the same for the same seed.

    The `unknown` ids are never sampled.

    Raises:
        LearnerError: the model cannot have what `config` asks for.
    """
    language_model = load_language_model(model_path, config.precision)
    if config.lora is not None:
        add_adapters(language_model, config.lora, seed)
    if config.gradient_checkpointing:
        _checkpoint_gradients(language_model)
    return PolicyWithStates(language_model, temperature, unknown)


def build_reference_model(
    model_path: str, precision: str, temperature: float, unknown: Ranges = ()
) -> PolicyModel:
    """The frozen start policy."""
    model = PolicyModel(load_language_model(model_path, precision), temperature, unknown)
    return model.requires_grad_(False)


def load_language_model(model_path: str, precision: str) -> Any:
    """A Hugging Face causal language model with packed attention and without dropout.

    Raises:
        LearnerError: transformers cannot make it, its weights lack a tensor, or its layers do not
            take an attention from outside.
    """
    from transformers import AutoModelForCausalLM

    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            model_path,
            dtype=DTYPES[precision],
            attn_implementation=register_packed_attention(),
            output_loading_info=True,
        )
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise LearnerError(f"{model_path}: {_explain(model_path, error)}") from error
    if missing := explain_missing(found):
        raise LearnerError(f"{model_path}: {missing}")
    _disable_dropout(model)
    return model


def _explain(model_path: str, error: Exception) -> str:
    """Why transformers could not make a model, with the architecture's name."""
    from transformers import AutoConfig

    try:
        name = architecture_of(AutoConfig.from_pretrained(model_path).to_dict())
    except (KeyError, ValueError):
        name = "an architecture that this transformers does not know"
    # older layers look up their attention among classes of their own
    if isinstance(error, KeyError) and error.args == (PACKED_ATTENTION,):
        return not_repeated(name, NOT_REPLACED)
    return f"transformers cannot make {name} ({error}); choose another model"


@contextmanager
def adapter_dropout(model: nn.Module) -> Iterator[None]:
    """Inside, the adapters' dropout is on, the only one that is left."""
    modules = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    for module in modules:
        module.train()
    try:
        yield
    finally:
        for module in modules:
            module.eval()


def _disable_dropout(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if name.endswith("dropout") and isinstance(value, float):
                setattr(module, name, 0.0)


def _checkpoint_gradients(language_model: Any) -> None:
    """Keep only the input of every layer for the backward pass (Chen et al. 2016, 1604.06174)."""
    try:
        language_model.gradient_checkpointing_enable()
    except ValueError as error:
        raise LearnerError(
            f"learner.gradient_checkpointing: {error}; write false, or choose another model"
        ) from error
    for module in language_model.modules():
        if getattr(module, "gradient_checkpointing", False):
            # transformers looks at this flag; what lies inside the layer stays as it is
            module.training = True
