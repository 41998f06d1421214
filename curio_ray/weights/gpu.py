"""Weights between GPUs: by NCCL broadcast, or by CUDA IPC between processes that share a GPU.

Written against vLLM 0.32's trainer-side API, whose own engines receive. Needs GPUs on both sides
and has not been run.
"""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from curio_ray.config.run import RunConfig
from curio_ray.weights.sync import (
    NamedTensors,
    OnLoss,
    Replicas,
    WeightReceiver,
    WeightSender,
    WeightSync,
    transfer_by,
    wait_for_replicas,
)

if TYPE_CHECKING:
    import torch


class GroupSync(WeightSync):
    """Learner and replicas as one group, which rank 0 leads through every update."""

    fixed_members = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._members: set[str] = set()

    @classmethod
    def problem(cls, config: RunConfig) -> str | None:
        """Both sides need GPUs."""
        policy = config.roles.policy.server
        if config.policy_server.gpus and config.learner.gpus_per_rank:
            return None
        return (
            f"weights.backend: {config.weights.backend} needs GPUs on both sides; set "
            f"servers.{policy}.gpus and learner.gpus_per_rank, or write shared_memory"
        )

    def connect(self, replicas: Replicas, on_loss: OnLoss | None = None) -> None:
        """Form the group. A replica that is lost meanwhile fails it."""
        self._learner.make_weight_senders(self._maker(replicas))
        self._members = set(replicas)

    def push(
        self, replicas: Replicas, version: int, on_loss: OnLoss | None = None
    ) -> dict[str, float]:
        """Send, after a new group was formed where its members are others."""
        if set(replicas) != self._members:
            self.connect(replicas)
        started = time.perf_counter()
        self._learner.send_weights(version)
        return {"send": time.perf_counter() - started}

    @abstractmethod
    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        """Makes the sender of a rank."""


class NcclSync(GroupSync):
    """NCCL broadcast from rank 0 to the workers of all replicas, a bucket at a time."""

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """vLLM's own."""
        return WeightReceiver(transfer_by("nccl"))

    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        policy = self._config.policy_server
        control = ReplicaControl(replicas, self._config.weights.deadline_s)
        return partial(NcclSender, control, 1 + policy.tensor_parallel * len(replicas))


class IpcSync(GroupSync):
    """CUDA IPC handles of packed buffers, between processes that share GPUs."""

    @classmethod
    def receiver(cls, config: RunConfig) -> WeightReceiver:
        """vLLM's own; handles hold Python objects, which vLLM passes on to its process only so."""
        return WeightReceiver(transfer_by("ipc"), {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"})

    def _maker(self, replicas: Replicas) -> Callable[[int], WeightSender]:
        return partial(IpcSender, ReplicaControl(replicas, self._config.weights.deadline_s))


class NcclSender:
    """Rank 0 of a group whose other members are the replicas' workers."""

    adapters_alone = False

    def __init__(self, control: ReplicaControl, world_size: int, rank: int) -> None:
        self._rank = rank
        self._control = control
        self._threads = ThreadPoolExecutor(max_workers=1)
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
        joined = self._threads.submit(
            control.init_weight_transfer_engine, worker_init_payload(workers)
        )
        self._group = trainer_init(workers)
        joined.result()

    def send(self, named_tensors: NamedTensors, version: int) -> list[Any]:
        """Pause the replicas, broadcast bucket by bucket, and let them go on."""
        if self._rank != 0:
            for _ in named_tensors:
                pass
            return []
        from curio_ray.weights.arrays import copied_in_buckets

        self._control.start_weight_update()
        for bucket in copied_in_buckets(named_tensors):
            self._broadcast(bucket)
        self._control.finish_weight_update(str(version))
        return []

    def close(self) -> None:
        """Leave the group."""
        if self._rank == 0:
            self._group.destroy()
        self._threads.shutdown(wait=False)

    def _broadcast(self, bucket: dict[str, torch.Tensor]) -> None:
        from vllm.distributed.weight_transfer import packed_tensor

        info = {
            "names": list(bucket),
            "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in bucket.values()],
            "shapes": [list(tensor.shape) for tensor in bucket.values()],
        }
        received = self._threads.submit(self._control.update_weights, info)
        packed_tensor.packed_nccl_broadcast_producer(
            iterator=iter(bucket.items()),
            group=self._group,
            src=0,
            post_iter_func=lambda item: item[1],
            buffer_size_bytes=packed_tensor.DEFAULT_PACKED_BUFFER_SIZE_BYTES,
            num_buffers=packed_tensor.DEFAULT_PACKED_NUM_BUFFERS,
        )
        received.result()


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

    def send(self, named_tensors: NamedTensors, version: int) -> list[Any]:
        """Pause the replicas, let them copy chunk by chunk, and let them go on."""
        self._stream.tensors = named_tensors
        self._control.version = version
        self._engine.send_weights()
        self._stream.tensors = ()
        return []

    def close(self) -> None:
        """Release the engine."""
        self._engine.shutdown()


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
