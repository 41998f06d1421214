"""Causal attention over packed segments, registered with transformers' AttentionInterface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch.nn.functional import scaled_dot_product_attention

from curio_ray.learner.model import soft_cap
from curio_ray.learner.packing import Segments

PACKED_ATTENTION = "curio_packed"


def register_packed_attention() -> str:
    """Make packed attention known to transformers and return its name.

    Models loaded with `attn_implementation=` this name read `segments`, which the caller passes to
    the model's forward; no token attends across segments.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED_ATTENTION, packed_attention)
    return PACKED_ATTENTION


@contextmanager
def attention_calls() -> Iterator[list[torch.nn.Module]]:
    """Inside, the layers that use packed attention are listed, once for each use.

    A model whose layers have attention of their own lists none.
    """
    from transformers import AttentionInterface

    layers: list[torch.nn.Module] = []

    def listed(module: torch.nn.Module, *tensors: Any, **options: Any) -> tuple[torch.Tensor, None]:
        layers.append(module)
        return packed_attention(module, *tensors, **options)

    AttentionInterface.register(PACKED_ATTENTION, listed)
    try:
        yield layers
    finally:
        AttentionInterface.register(PACKED_ATTENTION, packed_attention)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    segments: Segments | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `query` [1, heads, N, width] to `key` and `value` [1, key heads, N, width].

    Without `segments` the N tokens are one segment. Returns [1, N, heads, width] and no
    attention weights, as transformers expects. With `softcap` scores are capped as in Gemma 2
    (arXiv 2408.00118, section 2), for which no fused kernel is at hand.
    """
    segments = segments or Segments.of((query.shape[2],), query.device)
    if softcap is None and query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        return _flash_varlen(query, key, value, segments, scaling, sliding_window), None
    outputs = []
    # One split instead of slices: its backward is one concatenation.
    parts = (tensor.split(segments.lengths, dim=2) for tensor in (query, key, value))
    for segment_query, segment_key, segment_value in zip(*parts, strict=True):
        mask = _window_mask(segment_query, sliding_window)
        if softcap is not None:
            outputs.append(
                _capped_attention(segment_query, segment_key, segment_value, mask, scaling, softcap)
            )
            continue
        output = scaled_dot_product_attention(
            segment_query,
            segment_key,
            segment_value,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        outputs.append(output)
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _capped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    """Attention within one segment whose scores are cap · tanh(score / cap), softmax in float32."""
    if mask is None:
        mask = torch.ones(2 * (query.shape[2],), dtype=torch.bool, device=query.device).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    weights = soft_cap(scores, softcap).float().masked_fill(~mask, -torch.inf).softmax(dim=-1)
    return weights.to(query.dtype) @ value


def _window_mask(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    """Which keys a query sees, bool [L, L]; None where the window is not narrower than L."""
    length = query.shape[2]
    if window is None or window >= length:
        return None
    position = torch.arange(length, device=query.device)
    distance = position[:, None] - position[None, :]
    return (distance >= 0) & (distance < window)


def _flash_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = max(segments.lengths)
    output = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1).contiguous(),
        value[0].transpose(0, 1).contiguous(),
        cu_seq_q=segments.ends,
        cu_seq_k=segments.ends,
        max_q=longest,
        max_k=longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return cast(torch.Tensor, output)[None]
