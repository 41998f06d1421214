"""Examples as padded tensors, in an order that pads little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from curio_ray.supervised.examples import Example

Group = tuple[Example, ...]
Item = TypeVar("Item")

# Examples are sorted by length within so many batches, which leaves batches random enough.
_SORTED_TOGETHER = 8


def collate(groups: Sequence[Group], context_weight: float) -> dict[str, torch.Tensor]:
    """Right-padded tensors of B examples: all of the first group, then all of the second, ...

    Returns:
        `input_ids` and `attention_mask` int64[B, N]; `weights` float32[B, N], of the loss on each
        token given those before it: 1 for own tokens, `context_weight` for others and 0 for
        padding and the first; `last` int64[B], the place of the last token; `label_ids`
        int64[B, labels, spellings] and `label` int64[B].
    """
    examples = [example for group in groups for example in group]
    shape = len(examples), max(map(len, examples))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    weights = np.zeros(shape, np.float32)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = example.token_ids
        mask[row, : len(example)] = 1
        weights[row, 1 : len(example)] = np.where(example.own, 1.0, context_weight)[1:]
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "weights": torch.from_numpy(weights),
        "last": torch.tensor([len(example) - 1 for example in examples]),
        "label_ids": torch.tensor(np.stack([each.label_ids for each in examples])).long(),
        "label": torch.tensor([example.label for example in examples]),
    }


def shuffled(groups: Sequence[Group], batch_size: int, rng: np.random.Generator) -> list[Group]:
    """All groups once, in random batches whose members are of similar length."""
    order = rng.permutation(len(groups)).tolist()
    batches: list[list[Group]] = []
    for part in _chunks(order, batch_size * _SORTED_TOGETHER):
        alike = sorted(part, key=lambda index: _length(groups[index]))
        batches.extend([groups[index] for index in chunk] for chunk in _chunks(alike, batch_size))
    # whole batches first, so that a short one shifts no other's members
    full = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]
    mixed = [full[index] for index in rng.permutation(len(full))]
    return [group for batch in (*mixed, *rest) for group in batch]


def by_length(groups: Sequence[Group], batch_size: int) -> Iterator[list[int]]:
    """Batches of indices whose members are of similar length."""
    alike = sorted(range(len(groups)), key=lambda index: _length(groups[index]))
    yield from _chunks(alike, batch_size)


def to_device(batch: Mapping[str, torch.Tensor], device: Any) -> dict[str, torch.Tensor]:
    """The batch's tensors on a device."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _length(group: Group) -> int:
    return max(map(len, group))


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
