"""Transfers between GPUs, as far as they can be tried without one."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from curio_ray.config import load_config
from curio_ray.errors import ConfigError, ServerError
from curio_ray.learner.policy_weights import PolicyWeights
from curio_ray.weights import plugin
from curio_ray.weights.arrays import BUCKET_BYTES
from curio_ray.weights.gpu_senders import ipc_buffer_bytes, wait_for_both
from curio_ray.weights.sync import weight_sync_class

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"


def backend(name: str, *overrides: str) -> type:
    return weight_sync_class(load_config(POCKET, [f"weights.backend={name}", *overrides]))


def on_gpus(server: float, rank: float, *more: str) -> list[str]:
    return [f"servers.policy.gpus={server}", f"learner.gpus_per_rank={rank}", *more]


@pytest.mark.parametrize(("server", "rank"), [(0.5, 0.5), (1, 0.5), (0.5, 1)])
def test_nccl_refuses_parts_of_gpus_which_may_be_the_same(server: float, rank: float) -> None:
    with pytest.raises(ConfigError, match=r"write 1 in servers\.policy\.gpus and learner\.gpus"):
        backend("nccl", *on_gpus(server, rank))


def test_nccl_takes_whole_gpus() -> None:
    assert backend("nccl", *on_gpus(1, 1, "learner.ranks=2")).__name__ == "NcclSync"


def test_ipc_refuses_ranks_that_lie_anywhere() -> None:
    with pytest.raises(ConfigError, match=r"write learner\.placement\.beside: policy"):
        backend("ipc", *on_gpus(0.4, 0.6))


def test_ipc_refuses_ranks_beside_another_server() -> None:
    with pytest.raises(ConfigError, match=r"write learner\.placement\.beside: policy"):
        backend("ipc", *on_gpus(0.4, 0.6, "learner.placement.beside=frozen"))


def test_ipc_refuses_whole_gpus_which_are_different_ones() -> None:
    with pytest.raises(ConfigError, match=r"on the same GPUs; write parts that add up to 1"):
        backend("ipc", *on_gpus(1, 1, "learner.placement.beside=policy"))


def test_ipc_refuses_replicas_without_a_rank() -> None:
    with pytest.raises(ConfigError, match=r"learner\.ranks: .* write 2"):
        backend(
            "ipc",
            *on_gpus(0.4, 0.6, "learner.placement.beside=policy", "servers.policy.replicas=2"),
        )


def test_ipc_takes_a_rank_beside_every_replica() -> None:
    two = ("servers.policy.replicas=2", "learner.ranks=2", "learner.placement.beside=policy")
    assert backend("ipc", *on_gpus(0.4, 0.6, *two)).__name__ == "IpcSync"


def test_the_error_of_a_replica_is_not_kept_by_a_broadcast_that_never_ends() -> None:
    received: Future[None] = Future()
    never_ends: Future[None] = Future()
    received.set_exception(ServerError("server 'policy' (replica 1): no such parameter"))
    started = time.monotonic()
    with pytest.raises(ServerError, match="no such parameter"):
        wait_for_both(received, never_ends)
    assert time.monotonic() - started < 1


def test_the_error_of_the_sending_side_is_not_kept_by_a_replica_that_waits() -> None:
    waits: Future[None] = Future()
    sent: Future[None] = Future()
    sent.set_exception(RuntimeError("NCCL error"))
    with pytest.raises(RuntimeError, match="NCCL error"):
        wait_for_both(waits, sent)


def test_the_buffer_of_ipc_holds_the_largest_tensor() -> None:
    model = torch.nn.Module()
    with torch.device("meta"):
        model.small = torch.nn.Linear(8, 8)
        model.embedding = torch.nn.Embedding(256_000, 2304)
    stream = PolicyWeights(model, zero_stage=0).named_tensors(torch.bfloat16)
    assert ipc_buffer_bytes(stream) == 256_000 * 2304 * 2 > BUCKET_BYTES


def test_the_buffer_of_ipc_holds_a_bucket_of_small_tensors() -> None:
    stream = PolicyWeights(torch.nn.Linear(8, 8), zero_stage=0).named_tensors(torch.bfloat16)
    assert ipc_buffer_bytes(stream) == BUCKET_BYTES


def test_vllm_knows_the_engine_that_leaves_its_group_before_it_joins_another() -> None:
    from vllm.config import ParallelConfig, VllmConfig
    from vllm.config.weight_transfer import WeightTransferConfig
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo

    plugin.register()
    config = VllmConfig(
        parallel_config=ParallelConfig(),
        weight_transfer_config=WeightTransferConfig(backend="curio_nccl"),
    )
    engine = WeightTransferEngineFactory.create_engine(
        config.weight_transfer_config, config, torch.device("cpu"), torch.nn.Module()
    )
    former = CommunicatorThatCounts()
    engine.model_update_group = former
    info = NCCLWeightTransferInitInfo(
        master_address="127.0.0.1", master_port=1, rank_offset=1, world_size=1
    )
    # there is no NCCL to join with here; the former group is left first
    with pytest.raises(RuntimeError):
        engine.init_transfer_engine(info)
    assert former.destroyed == 1


class CommunicatorThatCounts:
    """Stands for NCCL's, which needs GPUs."""

    destroyed = 0

    def destroy(self) -> None:
        self.destroyed += 1
