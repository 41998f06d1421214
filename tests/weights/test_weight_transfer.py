"""The learner's side of a weight transfer, and its way through the object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.weights.arrays import BucketWriter, as_tensors, copied_in_buckets
from curio_ray.weights.shared_memory import SharedMemorySender, SharedMemorySync
from curio_ray.weights.sync import weight_sync_class

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
WEIGHTS = {
    "first": torch.arange(6.0).reshape(2, 3),
    "second": torch.tensor(4.0),
    "third": torch.arange(5).to(torch.bfloat16),
}


@pytest.mark.usefixtures("local_ray")
def test_the_store_holds_the_tensors_that_were_sent_bit_for_bit() -> None:
    [bucket] = SharedMemorySender(0).send(WEIGHTS.items(), version=3)
    received = as_tensors(ray.get(bucket))
    assert list(received) == list(WEIGHTS)
    for name, tensor in WEIGHTS.items():
        assert received[name].dtype == tensor.dtype
        assert torch.equal(received[name], tensor)


@pytest.mark.usefixtures("local_ray")
def test_two_readers_of_a_node_share_one_copy() -> None:
    [bucket] = SharedMemorySender(0).send({"a": torch.ones(2**18)}.items(), 1)
    first, second = (ray.get(bucket).content for _ in range(2))
    assert first.ctypes.data == second.ctypes.data


@pytest.mark.usefixtures("local_ray")
def test_a_version_in_the_store_outlives_the_next_one() -> None:
    sender = SharedMemorySender(0)
    [first] = sender.send({"a": torch.ones(3)}.items(), 1)
    [second] = sender.send({"a": torch.zeros(3)}.items(), 2)
    assert as_tensors(ray.get(first))["a"].tolist() == [1.0] * 3
    assert as_tensors(ray.get(second))["a"].tolist() == [0.0] * 3


def test_tensors_are_views_of_their_bucket() -> None:
    [bucket] = BucketWriter().write({"a": torch.ones(3)}.items())
    [received] = as_tensors(bucket).values()
    assert received.data_ptr() == bucket.content.ctypes.data


def test_a_tensor_that_is_not_contiguous_is_written_as_it_reads() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    [bucket] = BucketWriter().write({"a": tensor}.items())
    assert torch.equal(as_tensors(bucket)["a"], tensor)


def test_tensors_keep_their_order_over_buckets_below_the_limit() -> None:
    sizes = [100, 300, 40, 0, 200, 200]
    tensors = {str(n): torch.full((size,), n, dtype=torch.uint8) for n, size in enumerate(sizes)}
    received: dict[str, torch.Tensor] = {}
    for bucket in BucketWriter(limit_bytes=450).write(tensors.items()):
        assert bucket.content.nbytes <= 450
        received |= {name: tensor.clone() for name, tensor in as_tensors(bucket).items()}
    assert list(received) == list(tensors)
    assert all(torch.equal(received[name], tensor) for name, tensor in tensors.items())


def test_a_tensor_above_the_limit_has_a_bucket_of_its_own() -> None:
    tensors = {"small": torch.ones(2), "large": torch.arange(100.0), "last": torch.ones(3)}
    written = [
        {name: tensor.clone() for name, tensor in as_tensors(bucket).items()}
        for bucket in BucketWriter(limit_bytes=64).write(tensors.items())
    ]
    assert [list(each) for each in written] == [["small"], ["large"], ["last"]]
    assert torch.equal(written[1]["large"], tensors["large"])


def test_a_rank_other_than_the_first_takes_part_and_sends_nothing() -> None:
    yielded = []

    def gathered() -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in WEIGHTS.items():
            yielded.append(name)
            yield name, tensor

    assert SharedMemorySender(rank=1).send(gathered(), version=1) == []
    assert yielded == list(WEIGHTS)


def test_buckets_keep_order_and_stay_below_their_limit() -> None:
    tensors = [(str(n), torch.full((n + 1,), float(n))) for n in range(10)]
    grouped = list(copied_in_buckets(tensors, limit_bytes=40))
    assert [name for bucket in grouped for name in bucket] == [name for name, _ in tensors]
    assert all(sum(t.nbytes for t in bucket.values()) <= 40 for bucket in grouped)


def test_a_bucket_survives_what_the_stream_does_to_its_tensor_afterwards() -> None:
    gathered = torch.zeros(3)

    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        gathered.fill_(1.0)
        yield "a", gathered
        gathered.fill_(2.0)
        yield "b", gathered

    [bucket] = copied_in_buckets(stream())
    assert bucket["a"].tolist() == [1.0] * 3
    assert bucket["b"].tolist() == [2.0] * 3


def test_an_unknown_backend_says_what_to_write() -> None:
    config = load_config(POCKET, ["weights.backend=carrier_pigeon"])
    with pytest.raises(ConfigError, match="shared_memory, adapters, nccl, ipc, or a class as"):
        weight_sync_class(config)


@pytest.mark.parametrize(
    ("lora", "field"),
    [
        ("null", r"add learner\.lora"),
        ("{rank: 4}", r"learner\.lora\.targets: .* write those of the model's linear layers"),
        ("{rank: 600, targets: [q_proj]}", r"learner\.lora\.rank: .* up to 512"),
    ],
)
def test_adapters_alone_need_adapters_that_an_engine_can_hold(lora: str, field: str) -> None:
    config = load_config(POCKET, ["weights.backend=adapters", f"learner.lora={lora}"])
    with pytest.raises(ConfigError, match=field):
        weight_sync_class(config)


def test_a_backend_between_gpus_names_the_fields_of_a_run_without() -> None:
    config = load_config(POCKET, ["weights.backend=nccl"])
    with pytest.raises(ConfigError, match=r"servers\.policy\.gpus and learner\.gpus_per_rank"):
        weight_sync_class(config)


class OwnSync(SharedMemorySync):
    """A backend of a user's own."""


def test_a_backend_of_a_users_own_is_found_by_its_name() -> None:
    config = load_config(POCKET, [f"weights.backend={__name__}:OwnSync"])
    assert weight_sync_class(config) is OwnSync
