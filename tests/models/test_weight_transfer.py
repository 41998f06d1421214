"""The learner's side of a weight transfer, without a server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from curio_ray.errors import ConfigError
from curio_ray.models.weight_transfer.buckets import buckets
from curio_ray.models.weight_transfer.leftover_weights import remove_leftover_weights
from curio_ray.models.weight_transfer.sender import WeightSender, make_sender

WEIGHTS = {"first": torch.arange(6.0).reshape(2, 3), "second": torch.ones(4)}


@pytest.fixture
def sender() -> Iterator[WeightSender]:
    sender = make_sender("shared_memory", uuid.uuid4().hex)
    yield sender
    sender.close()


def test_the_files_hold_the_tensors_that_were_sent(sender: WeightSender) -> None:
    info = sender.send(WEIGHTS.items(), version=3)
    loaded = {name: tensor for file in info["files"] for name, tensor in load_file(file).items()}
    assert loaded.keys() == WEIGHTS.keys()
    assert all(torch.equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)


def test_a_new_version_replaces_the_files_of_the_last(sender: WeightSender) -> None:
    old = sender.send(WEIGHTS.items(), version=1)["files"]
    new = sender.send(WEIGHTS.items(), version=2)["files"]
    assert not any(Path(name).exists() for name in old)
    assert all(Path(name).exists() for name in new)


def test_the_same_version_can_be_sent_again(sender: WeightSender) -> None:
    sender.send(WEIGHTS.items(), version=1)
    assert all(Path(name).exists() for name in sender.send(WEIGHTS.items(), version=1)["files"])


def test_closing_leaves_no_file(sender: WeightSender) -> None:
    folder = Path(sender.send(WEIGHTS.items(), version=1)["files"][0]).parents[1]
    sender.close()
    assert not folder.exists()


def test_what_a_killed_rank_left_can_be_removed_by_the_name_of_its_run() -> None:
    run_id = uuid.uuid4().hex
    folder = Path(make_sender("shared_memory", run_id).send(WEIGHTS.items(), 1)["files"][0]).parent
    remove_leftover_weights(run_id)
    assert not folder.parent.exists()


def test_where_no_weights_are_left_nothing_is_removed() -> None:
    remove_leftover_weights(uuid.uuid4().hex)


def test_a_rank_other_than_the_first_takes_part_and_sends_nothing() -> None:
    yielded = []

    def gathered() -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in WEIGHTS.items():
            yielded.append(name)
            yield name, tensor

    assert make_sender("shared_memory", "unused", rank=1).send(gathered(), version=1) == {}
    assert yielded == list(WEIGHTS)


def test_buckets_keep_order_and_stay_below_their_limit() -> None:
    tensors = [(str(n), torch.full((n + 1,), float(n))) for n in range(10)]
    grouped = list(buckets(tensors, limit_bytes=40))
    assert [name for bucket in grouped for name in bucket] == [name for name, _ in tensors]
    assert all(sum(t.nbytes for t in bucket.values()) <= 40 for bucket in grouped)


def test_a_bucket_survives_what_the_stream_does_to_its_tensor_afterwards() -> None:
    gathered = torch.zeros(3)

    def stream() -> Iterator[tuple[str, torch.Tensor]]:
        gathered.fill_(1.0)
        yield "a", gathered
        gathered.fill_(2.0)
        yield "b", gathered

    [bucket] = buckets(stream())
    assert bucket["a"].tolist() == [1.0] * 3
    assert bucket["b"].tolist() == [2.0] * 3


def test_an_unknown_backend_says_what_to_write() -> None:
    with pytest.raises(ConfigError, match="shared_memory, nccl or ipc"):
        make_sender("carrier_pigeon", "run")
