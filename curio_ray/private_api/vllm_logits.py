"""vLLM's private names: its layer of logits, with ids that are never sampled.

`PluggableLayer.register_oot` puts another class into the place of a layer. It works in every model
runner and for every request, greedy or not, before log-probs are made of the logits.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.config import get_current_vllm_config
from vllm.model_executor.layers.logits_processor import LogitsProcessor

from curio_ray.known_tokens import UNKNOWN_IDS

READ_FROM = "0.32.0"


@LogitsProcessor.register_oot
class KnownTokensLogits(LogitsProcessor):
    """Logits that are minus infinity at ids which the model's tokenizer does not know."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unknown_ids = get_current_vllm_config().additional_config.get(UNKNOWN_IDS, ())

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor | None:
        """The logits [requests, vocabulary], or None on workers that gather none."""
        # with adapters, vLLM calls this with its own layer around this one as `self`
        logits = LogitsProcessor.forward(self, *args, **kwargs)
        own: Any = getattr(self, "base_layer", self)
        if logits is not None:
            for start, end in own.unknown_ids:
                logits[..., start:end] = -torch.inf
        return logits
