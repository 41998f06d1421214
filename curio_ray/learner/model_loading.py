"""Language models from Hugging Face folders, made ready for the learner: policy and reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.learner.attention import register_packed_attention
from curio_ray.learner.lora import add_adapters
from curio_ray.learner.model import (
    PolicyModel,
    PolicyValueModel,
    ValueHead,
    logit_softcap,
    soft_cap,
)

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def build_policy_value_model(
    model_path: str, config: LearnerConfig, temperature: float, seed: int
) -> PolicyValueModel:
    """Load the start policy and add a fresh value head, the same for the same seed.

    Raises:
        LearnerError: the model cannot have what `config` asks for.
    """
    language_model = load_language_model(model_path, config.precision)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = ValueHead(language_model.config.hidden_size, config.value.hidden_size)
    head.to(DTYPES[config.precision])
    if config.lora is not None:
        add_adapters(language_model, config.lora, seed)
    if config.gradient_checkpointing:
        _checkpoint_gradients(language_model)
    return PolicyValueModel(language_model, temperature, head, config.value.detach)


def build_reference_model(model_path: str, precision: str, temperature: float) -> PolicyModel:
    """The frozen start policy."""
    model = PolicyModel(load_language_model(model_path, precision), temperature)
    return model.requires_grad_(False)


def load_language_model(model_path: str, precision: str) -> Any:
    """A Hugging Face causal language model with packed attention and without dropout.

    Raises:
        LearnerError: the model does something to its logits that the learner would not repeat.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        model_path,
        dtype=DTYPES[precision],
        attn_implementation=register_packed_attention(),
    )
    _disable_dropout(model)
    _check_output_head(model, model_path)
    return model


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


@torch.no_grad()
def _check_output_head(model: Any, model_path: str) -> None:
    """Models that scale their logits after the head would get wrong log-probabilities."""
    token_ids = torch.arange(4)[None]
    logits = model(input_ids=token_ids, use_cache=False).logits
    hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    own = soft_cap(model.get_output_embeddings()(hidden), logit_softcap(model))
    if not torch.allclose(own, logits, atol=1e-2, rtol=1e-2):
        raise LearnerError(
            f"{model_path}: the model changes its logits after the output head, which the learner "
            "does not repeat; choose a model without logit scaling"
        )
