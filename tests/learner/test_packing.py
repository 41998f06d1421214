"""Packs: bounded, complete, even."""

import numpy as np
import pytest

from curio_ray.learner.packing import pack_sequences, split_minibatches


def random_lengths(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(1, 40, 30).tolist()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_packs_never_exceed_the_budget(seed: int, ranks: int) -> None:
    lengths = random_lengths(seed)
    packs = [pack for share in pack_sequences(lengths, ranks, 50) for pack in share]
    assert max(sum(lengths[index] for index in pack) for pack in packs) <= 50


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_packs_hold_every_sequence_once(seed: int, ranks: int) -> None:
    shares = pack_sequences(random_lengths(seed), ranks, 50)
    assert sorted(index for share in shares for pack in share for index in pack) == list(range(30))


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_every_rank_has_the_same_number_of_packs(count: int) -> None:
    shares = pack_sequences(random_lengths(0)[:count], 3, 50)
    assert len({len(share) for share in shares}) == 1


def test_ranks_hold_about_the_same_tokens() -> None:
    lengths = random_lengths(0)
    tokens = [
        sum(lengths[index] for pack in share for index in pack)
        for share in pack_sequences(lengths, 2, 50)
    ]
    assert abs(tokens[0] - tokens[1]) <= 40


def test_a_sequence_longer_than_the_budget_has_a_pack_of_its_own() -> None:
    (packs,) = pack_sequences([120, 10, 10], 1, 50)
    assert sorted(packs) == [[0], [1, 2]]


def test_minibatches_partition_the_sequences() -> None:
    parts = split_minibatches(10, 3, (0, 1))
    assert sorted(index for part in parts for index in part) == list(range(10))


def test_minibatches_depend_on_the_seed_only() -> None:
    assert split_minibatches(10, 3, (0, 1)) == split_minibatches(10, 3, (0, 1))
    assert split_minibatches(10, 3, (0, 1)) != split_minibatches(10, 3, (0, 2))
