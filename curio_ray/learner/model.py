"""The language model with its value head, as one module for one DeepSpeed engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.learner.attention import register_packed_attention
from curio_ray.learner.log_probs import chunked_log_probs, soft_cap
from curio_ray.learner.lora import add_adapters
from curio_ray.learner.packed_tensors import PackedTensors
from curio_ray.learner.value_head import ValueHead

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class LogProbHead(nn.Module):
    """The output head of a language model, asked for given tokens only.

    It holds the head's own parameters, so that ZeRO-3 gathers them around its forward pass.
    """

    def __init__(self, head: Any, temperature: float, softcap: float | None) -> None:
        super().__init__()
        self.weight = head.weight
        self.bias = head.bias
        self.temperature = temperature
        self.softcap = softcap

    def forward(self, hidden: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Hidden states [A, width] and int64[A] to natural log-probabilities float32[A]."""
        return chunked_log_probs(
            hidden, self.weight, token_ids, self.temperature, self.bias, self.softcap
        )


class PackReader(nn.Module):
    """A causal language model that reads packs of segments."""

    def __init__(self, language_model: Any, temperature: float) -> None:
        super().__init__()
        self.language_model = language_model
        head = language_model.get_output_embeddings()
        self.log_prob_head = LogProbHead(head, temperature, _logit_softcap(language_model))

    def hidden_states(self, pack: PackedTensors) -> torch.Tensor:
        """The last hidden states [N, width] of a pack's tokens."""
        output = self.language_model.base_model(
            input_ids=pack.token_ids,
            position_ids=pack.position_ids,
            segments=pack.segments,
            use_cache=False,
        )
        return output.last_hidden_state[0]

    def action_log_probs(self, pack: PackedTensors, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities float32[A] of a pack's actions, from its hidden states."""
        log_probs: torch.Tensor = self.log_prob_head(hidden[pack.action_rows], pack.action_ids)
        return log_probs


class PolicyModel(PackReader):
    """The policy alone."""

    def forward(self, pack: PackedTensors) -> torch.Tensor:
        """Log-probabilities float32[A] of a pack's actions."""
        return self.action_log_probs(pack, self.hidden_states(pack))


class PolicyValueModel(PackReader):
    """The policy and the value of the states it acts from, on shared hidden states.

    With `detach` the value's gradient stops before the language model.
    """

    def __init__(
        self, language_model: Any, temperature: float, value_head: ValueHead, detach: bool
    ) -> None:
        super().__init__(language_model, temperature)
        self.value_head = value_head
        self.detach = detach

    def forward(self, pack: PackedTensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities float32[A] and values float32[T] of a pack."""
        hidden = self.hidden_states(pack)
        states = hidden[pack.value_rows]
        values: torch.Tensor = self.value_head(states.detach() if self.detach else states)
        return self.action_log_probs(pack, hidden), values


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


def _logit_softcap(model: Any) -> float | None:
    cap: float | None = getattr(model.config, "final_logit_softcapping", None)
    return cap


@torch.no_grad()
def _check_output_head(model: Any, model_path: str) -> None:
    """Models that scale their logits after the head would get wrong log-probabilities."""
    token_ids = torch.arange(4)[None]
    logits = model(input_ids=token_ids, use_cache=False).logits
    hidden = model.base_model(input_ids=token_ids, use_cache=False).last_hidden_state
    own = soft_cap(model.get_output_embeddings()(hidden), _logit_softcap(model))
    if not torch.allclose(own, logits, atol=1e-2, rtol=1e-2):
        raise LearnerError(
            f"{model_path}: the model changes its logits after the output head, which the learner "
            "does not repeat; choose a model without logit scaling"
        )
