"""A stream of weights in buckets of bounded size: as NumPy arrays of bytes and back, or as tensors.

The arrays are the form in which weights lie in the object store. Ray copies such an array once,
into the store, and whoever reads it on that node reads the store's own memory. Tensors themselves
would be copied at every reader, and NumPy has no bfloat16. Many tensors share one array, since each
array costs Ray as much as copying a hundred kilobytes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from curio_ray.weights.sync import NamedTensors

BUCKET_BYTES = 256 * 2**20
ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor lies in its bucket: name, name of its type, shape, first byte."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class WeightBucket:
    """Some tensors: all their bytes, and where each of them begins."""

    content: np.ndarray
    places: tuple[TensorPlace, ...]


class BucketWriter:
    """Copies tensors, of main memory or of a GPU, into buckets.

    The memory of a bucket is used again for the next one: memory that is new must be cleared by
    the operating system first, which takes longer than the copy. So are the tensors that lie in it,
    for small ones take longer to make than to fill.
    """

    def __init__(self, limit_bytes: int = BUCKET_BYTES) -> None:
        self._limit = limit_bytes
        self._memory = torch.empty(limit_bytes, dtype=torch.uint8)
        self._tensors: dict[TensorPlace, torch.Tensor] = {}

    def write(self, named_tensors: NamedTensors) -> Iterator[WeightBucket]:
        """The tensors, in order, in buckets of at most the limit, each valid until the next one.

        A tensor larger than the limit has a bucket of its own.
        """
        places: list[TensorPlace] = []
        used = 0
        for name, tensor in named_tensors:
            if places and used + tensor.nbytes > self._limit:
                yield WeightBucket(self._memory[:used].numpy(), tuple(places))
                places, used = [], 0
            if tensor.nbytes > self._memory.nbytes:
                self._memory = torch.empty(tensor.nbytes, dtype=torch.uint8)
                self._tensors.clear()
            place = TensorPlace(
                name, str(tensor.dtype).partition(".")[2], tuple(tensor.shape), used
            )
            if place not in self._tensors:
                self._tensors[place] = _view(self._memory, place)
            self._tensors[place].copy_(tensor.detach())
            places.append(place)
            used = -(-(used + tensor.nbytes) // ALIGNMENT) * ALIGNMENT
        if places:
            yield WeightBucket(self._memory[:used].numpy(), tuple(places))


def as_tensors(bucket: WeightBucket) -> dict[str, torch.Tensor]:
    """Views by name, to be read only: arrays from the object store cannot be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        memory = torch.from_numpy(bucket.content)
    return {place.name: _view(memory, place) for place in bucket.places}


def copied_in_buckets(
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


def _view(memory: torch.Tensor, place: TensorPlace) -> torch.Tensor:
    dtype = getattr(torch, place.dtype)
    size = math.prod(place.shape) * dtype.itemsize
    return memory[place.start : place.start + size].view(dtype).reshape(place.shape)
