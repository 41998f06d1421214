"""Sends weights between processes that share GPUs, by CUDA IPC handles of packed buffers.

Written against vLLM 0.32's trainer-side API; needs GPUs and has not been run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.ipc_engine import (
    IPCTrainerInitInfo,
    IPCTrainerWeightTransferEngine,
)

from curio_ray.weights.buckets import NamedTensors
from curio_ray.weights.ray_control import RayControl


class _Stream(WeightSource):
    """The stream of one send. The packed form reads no metadata ahead."""

    def __init__(self) -> None:
        self.tensors: NamedTensors = ()

    def metadata(self) -> list[ParamMeta]:
        return []

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return iter(self.tensors)


class IpcSender:
    """Every rank exports its GPU's buffer; rank 0 tells the servers where all of them lie."""

    def __init__(self, rank: int, servers: Sequence[Any], deadline_s: float) -> None:
        self._rank = rank
        self._stream = _Stream()
        self._control = RayControl(servers, deadline_s)
        self._engine = IPCTrainerWeightTransferEngine.trainer_init(
            IPCTrainerInitInfo(rank=rank, packed=True), client=self._control, source=self._stream
        )

    def send(self, named_tensors: NamedTensors, version: int) -> dict[str, Any]:
        """Pause the servers, let them copy chunk by chunk, and let them go on."""
        self._stream.tensors = named_tensors
        self._control.version = version
        self._engine.send_weights()
        self._stream.tensors = ()
        return {}

    def close(self) -> None:
        """Release the engine."""
        self._engine.shutdown()
