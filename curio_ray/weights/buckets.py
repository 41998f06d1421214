"""Groups a stream of tensors into buckets of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

BUCKET_BYTES = 256 * 2**20

NamedTensors = Iterable[tuple[str, torch.Tensor]]


def buckets(
    named_tensors: NamedTensors, limit_bytes: int = BUCKET_BYTES
) -> Iterator[dict[str, torch.Tensor]]:
    """Copies of the tensors, in order, in dictionaries of at most `limit_bytes`.

    A tensor larger than the limit has a bucket of its own. The copies are contiguous and outlive
    the gather that a stream under ZeRO-3 holds open while it yields.
    """
    bucket: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in named_tensors:
        if bucket and size + tensor.nbytes > limit_bytes:
            yield bucket
            bucket, size = {}, 0
        bucket[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
        size += tensor.nbytes
    if bucket:
        yield bucket
