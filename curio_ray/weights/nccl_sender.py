"""Sends weights between GPUs by NCCL broadcast, a bucket at a time.

Written against vLLM 0.32's trainer-side API; needs GPUs on both sides and has not been run.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
import torch
from vllm.distributed.weight_transfer.nccl_common import (
    NCCLWeightTransferInitInfo,
    trainer_init,
    worker_init_payload,
)
from vllm.distributed.weight_transfer.packed_tensor import (
    DEFAULT_PACKED_BUFFER_SIZE_BYTES,
    DEFAULT_PACKED_NUM_BUFFERS,
    packed_nccl_broadcast_producer,
)

from curio_ray.weights.buckets import NamedTensors, buckets
from curio_ray.weights.ray_control import RayControl


class NcclSender:
    """Rank 0 of a group whose other members are the servers' workers."""

    def __init__(
        self,
        rank: int,
        servers: Sequence[Any],
        world_size: int,
        deadline_s: float,
    ) -> None:
        self._rank = rank
        self._threads = ThreadPoolExecutor(max_workers=1)
        if rank != 0:
            return
        self._control = RayControl(servers, deadline_s)
        address, port = _rendezvous()
        workers = NCCLWeightTransferInitInfo(
            master_address=address,
            master_port=port,
            rank_offset=1,
            world_size=world_size,
            packed=True,
            packed_buffer_size_bytes=DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            packed_num_buffers=DEFAULT_PACKED_NUM_BUFFERS,
        )
        # Both sides block until the other has come to the rendezvous.
        joined = self._threads.submit(
            self._control.init_weight_transfer_engine, worker_init_payload(workers)
        )
        self._group = trainer_init(workers)
        joined.result()

    def send(self, named_tensors: NamedTensors, version: int) -> dict[str, Any]:
        """Pause the servers, broadcast bucket by bucket, and let them go on."""
        if self._rank != 0:
            for _ in named_tensors:
                pass
            return {}
        self._control.start_weight_update()
        for bucket in buckets(named_tensors):
            self._broadcast(bucket)
        self._control.finish_weight_update(str(version))
        return {}

    def close(self) -> None:
        """Leave the group."""
        if self._rank == 0:
            self._group.destroy()
        self._threads.shutdown(wait=False)

    def _broadcast(self, bucket: dict[str, torch.Tensor]) -> None:
        info = {
            "names": list(bucket),
            "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in bucket.values()],
            "shapes": [list(tensor.shape) for tensor in bucket.values()],
        }
        received = self._threads.submit(self._control.update_weights, info)
        packed_nccl_broadcast_producer(
            iterator=iter(bucket.items()),
            group=self._group,
            src=0,
            post_iter_func=lambda item: item[1],
            buffer_size_bytes=DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            num_buffers=DEFAULT_PACKED_NUM_BUFFERS,
        )
        received.result()


def _rendezvous() -> tuple[str, int]:
    """Address and a free port of this machine: the group's first rank holds the meeting."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])
