"""What learner ranks do for `nccl` and `ipc`, by vLLM 0.32's trainer-side API. Has not been run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from curio_ray.weights.sync import NamedTensors, Replicas, WeightStream, wait_for_replicas

if TYPE_CHECKING:
    import torch


class NcclSender:
    """Rank 0 of a group whose other members are the replicas' workers.

    All that is NCCL's happens on a thread of its own: vLLM replaces the current stream of the
    thread that it joins a group on, and a broadcast blocks for ever when a worker has failed.
    """

    adapters_alone = False

    def __init__(self, control: ReplicaControl, world_size: int, rank: int) -> None:
        self._rank = rank
        self._control = control
        self._calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replicas")
        self._nccl = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nccl")
        self._group: Any = None
        if rank != 0:
            return
        from vllm.distributed.weight_transfer.nccl_common import (
            NCCLWeightTransferInitInfo,
            trainer_init,
            worker_init_payload,
        )

        address, port = _rendezvous()
        workers = NCCLWeightTransferInitInfo(
            master_address=address,
            master_port=port,
            rank_offset=1,
            world_size=world_size,
            packed=True,
        )
        # Both sides block until the other has come to the rendezvous.
        joined = self._calls.submit(
            control.init_weight_transfer_engine, worker_init_payload(workers)
        )
        opened = self._nccl.submit(trainer_init, workers)
        wait_for_both(joined, opened)
        self._group = opened.result()

    def send(self, weights: WeightStream, version: int) -> list[Any]:
        """Pause the replicas, broadcast bucket by bucket, and let them go on."""
        if self._rank != 0:
            for _ in weights:
                pass
            return []
        import torch

        from curio_ray.weights.arrays import copied_in_buckets

        self._control.start_weight_update()
        for bucket in copied_in_buckets(weights):
            # vLLM packs on other streams, which do not wait for the one that copies.
            torch.cuda.current_stream().synchronize()
            info = {
                "names": list(bucket),
                "dtype_names": [str(each.dtype).removeprefix("torch.") for each in bucket.values()],
                "shapes": [list(each.shape) for each in bucket.values()],
            }
            received = self._calls.submit(self._control.update_weights, info)
            wait_for_both(received, self._nccl.submit(self._broadcast, bucket))
        self._control.finish_weight_update(str(version))
        return []

    def close(self) -> None:
        """Leave the group."""
        if self._group is not None:
            self._group.destroy()
        self._calls.shutdown(wait=False)
        self._nccl.shutdown(wait=False)

    def _broadcast(self, bucket: dict[str, torch.Tensor]) -> None:
        from vllm.distributed.weight_transfer import packed_tensor

        packed_tensor.packed_nccl_broadcast_producer(
            iterator=iter(bucket.items()),
            group=self._group,
            src=0,
            post_iter_func=lambda item: item[1],
            buffer_size_bytes=packed_tensor.DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            num_buffers=packed_tensor.DEFAULT_PACKED_NUM_BUFFERS,
        )


class IpcSender:
    """Every rank exports its GPU's buffer; rank 0 tells the replicas where all of them lie."""

    adapters_alone = False

    def __init__(self, control: ReplicaControl, rank: int) -> None:
        from vllm.distributed.weight_transfer import ipc_engine

        self._stream = _Stream()
        self._control = control
        self._engine = ipc_engine.IPCTrainerWeightTransferEngine.trainer_init(
            ipc_engine.IPCTrainerInitInfo(rank=rank, packed=True),
            client=control,
            source=self._stream,
        )

    def send(self, weights: WeightStream, version: int) -> list[Any]:
        """Pause the replicas, let them copy chunk by chunk, and let them go on."""
        self._stream.tensors = weights
        self._control.version = version
        self._engine.packed_buffer_size_bytes = ipc_buffer_bytes(weights)
        self._engine.send_weights()
        self._stream.tensors = ()
        return []

    def close(self) -> None:
        """Release the engine."""
        self._engine.shutdown()


def ipc_buffer_bytes(weights: WeightStream) -> int:
    """Room for a bucket, and for the largest tensor: vLLM refuses one larger than its buffer."""
    from curio_ray.weights.arrays import BUCKET_BYTES

    return max(BUCKET_BYTES, weights.largest_bytes)


def wait_for_both(received: Future[None], sent: Future[Any]) -> None:
    """Wait until both sides of a transfer are through.

    Raises:
        CurioError: a replica failed; then the other side is not waited for, which may never end.
    """
    wait([received, sent], return_when=FIRST_EXCEPTION)
    for side in (received, sent):
        if side.done():
            side.result()


class _Stream:
    """The stream of one send, as vLLM's `WeightSource`. The packed form reads no metadata ahead."""

    def __init__(self) -> None:
        self.tensors: NamedTensors = ()

    def metadata(self) -> list[Any]:
        return []

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return iter(self.tensors)


class ReplicaControl:
    """Calls every replica and waits for all; answers vLLM's `VLLMWeightSyncClient` protocol.

    `version` is stamped by the next `finish_weight_update` that names none.
    """

    def __init__(self, replicas: Replicas, deadline_s: float) -> None:
        self._replicas = dict(replicas)
        self._deadline_s = deadline_s
        self.version = 0

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Connect every replica. Replicas of an NCCL group follow each other in rank."""
        offset = init_info.get("rank_offset")
        calls = {}
        for number, (name, replica) in enumerate(self._replicas.items()):
            info = dict(init_info)
            if offset is not None:
                workers = (init_info["world_size"] - offset) // len(self._replicas)
                info["rank_offset"] = offset + number * workers
            calls[name] = replica.init_weight_transfer.remote(info)
        wait_for_replicas(calls, "init_weight_transfer", self._deadline_s)

    def start_weight_update(self) -> None:
        """Pause every replica."""
        self._call("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Let every replica receive one chunk."""
        self._call("update_weights", update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Let every replica go on with the new weights."""
        version = self.version if weight_version is None else int(weight_version)
        self._call("finish_weight_update", version)

    def _call(self, method: str, *arguments: Any) -> None:
        calls = {
            name: getattr(each, method).remote(*arguments) for name, each in self._replicas.items()
        }
        wait_for_replicas(calls, method, self._deadline_s)


def _rendezvous() -> tuple[str, int]:
    """Address and a free port of this machine: the group's first rank holds the meeting."""
    import ray

    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), int(probe.getsockname()[1])
