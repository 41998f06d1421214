"""What a transfer between GPUs rests on, on one of them: streams, and memory that processes share.

pytest tests/gpu      # on a machine with one GPU of 40 GB or more; skipped elsewhere
"""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest
import torch

from curio_ray.weights.arrays import copied_in_buckets

pytestmark = pytest.mark.gpu

GIB = 2**30
CYCLES = 200_000_000


class Capturing:
    """Stands for NCCL's group, which needs a second GPU: keeps what would be broadcast."""

    def __init__(self) -> None:
        self.sent: list[torch.Tensor] = []

    def broadcast(self, packed: torch.Tensor, src: int) -> None:
        self.sent.append(packed.clone())


def packed(synchronised: bool) -> torch.Tensor:
    """What vLLM's producer sends of a bucket whose copies are still on their way."""
    from vllm.distributed.weight_transfer.packed_tensor import packed_nccl_broadcast_producer

    group, weight = Capturing(), torch.zeros(2**20, device="cuda")
    torch.cuda.synchronize()
    torch.cuda._sleep(CYCLES)
    weight += 1
    for bucket in copied_in_buckets([("a", weight)]):
        if synchronised:
            torch.cuda.current_stream().synchronize()
        packed_nccl_broadcast_producer(iter(bucket.items()), group, 0, lambda item: item[1])
    torch.cuda.synchronize()
    return group.sent[0].view(torch.float32)


def test_a_bucket_is_packed_after_its_copies_only_where_the_stream_was_waited_for() -> None:
    assert not bool((packed(synchronised=False) == 1).all())
    assert bool((packed(synchronised=True) == 1).all())


def consume(inbox: Any, outbox: Any) -> None:
    from vllm.distributed.weight_transfer.packed_tensor import (
        PackedBufferImporter,
        packed_ipc_consumer,
    )

    importer = PackedBufferImporter()
    while (chunk := inbox.get()) is not None:
        tensors = packed_ipc_consumer(**chunk, device_index=0, importer=importer)
        outbox.put({name: tensor.float().cpu() for name, tensor in tensors})
    importer.close()


def exchange(tensors: dict[str, torch.Tensor], buffer_bytes: int) -> dict[str, torch.Tensor]:
    """Tensors as another process reads them out of this one's buffer."""
    from vllm.distributed.weight_transfer.packed_tensor import packed_ipc_producer

    uuid = str(torch.cuda.get_device_properties(0).uuid)
    spawn = multiprocessing.get_context("spawn")
    inbox, outbox = spawn.Queue(), spawn.Queue()
    other = spawn.Process(target=consume, args=(inbox, outbox))
    other.start()
    received: dict[str, torch.Tensor] = {}
    try:
        for chunk in packed_ipc_producer(
            iter(tensors.items()), uuid, lambda item: item[1], buffer_bytes
        ):
            fields = ("ipc_handle", "names", "shapes", "dtype_names", "tensor_sizes")
            inbox.put({name: getattr(chunk, name) for name in fields})
            received |= outbox.get(timeout=120)
    finally:
        inbox.put(None)
        other.join(60)
    return received


def test_another_process_reads_several_chunks_bit_for_bit() -> None:
    tensors = {str(n): torch.randn(2**18, device="cuda").bfloat16() for n in range(9)}
    received = exchange(tensors, buffer_bytes=2**20)
    assert list(received) == list(tensors)
    assert all(torch.equal(received[name], each.float().cpu()) for name, each in tensors.items())


def test_an_embedding_larger_than_vllms_buffer_needs_one_as_large_as_itself() -> None:
    embedding = torch.ones(256_000, 2304, dtype=torch.bfloat16, device="cuda")
    with pytest.raises(ValueError, match="exceeds buffer_size_bytes"):
        exchange({"embedding": embedding}, buffer_bytes=GIB)
    received = exchange({"embedding": embedding}, buffer_bytes=embedding.nbytes)
    assert bool((received["embedding"] == 1).all())
