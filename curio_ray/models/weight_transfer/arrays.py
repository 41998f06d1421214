"""Tensors as NumPy arrays of bytes and back: the form in which weights lie in the object store.

Ray copies such arrays once, into the store, and whoever reads them on that node reads the store's
own memory. Tensors themselves would be copied at every reader, and NumPy has no bfloat16.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class WeightArray:
    """One tensor: its bytes, the name of its type, and its shape."""

    content: np.ndarray
    dtype: str
    shape: tuple[int, ...]


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, WeightArray]:
    """Views of contiguous tensors; those on a GPU are copied to main memory."""
    return {
        name: WeightArray(
            tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy(),
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
        )
        for name, tensor in tensors.items()
    }


def as_tensors(arrays: Mapping[str, WeightArray]) -> dict[str, torch.Tensor]:
    """Views of the arrays, to be read only: arrays from the object store cannot be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return {
            name: torch.from_numpy(array.content)
            .view(getattr(torch, array.dtype))
            .reshape(array.shape)
            for name, array in arrays.items()
        }
