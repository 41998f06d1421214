"""Batches: what counts in them, and their order."""

from __future__ import annotations

import numpy as np
import pytest

from curio_ray.supervised.batches import collate, shuffled
from curio_ray.supervised.examples import Example


def example(length: int, own: list[int], label: int = 0) -> Example:
    mask = np.zeros(length, bool)
    mask[own] = True
    return Example(np.arange(1, length + 1, dtype=np.int32), mask, np.array([[7], [8]]), label)


def test_own_tokens_count_in_full_others_by_the_context_weight_and_padding_not_at_all():
    batch = collate([(example(4, own=[2, 3]),), (example(2, own=[]),)], context_weight=0.25)
    assert batch["weights"].tolist() == [[0, 0.25, 1, 1], [0, 0.25, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["last"].tolist() == [3, 1]


def test_the_better_of_a_pair_comes_before_its_partner():
    pairs = [(example(2, [], 1), example(3, [], 0)), (example(4, [], 1), example(5, [], 0))]
    assert collate(pairs, 0.0)["label"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_an_epoch_has_every_group_once(count):
    groups = [(example(2 + n, []),) for n in range(count)]
    ordered = shuffled(groups, 4, np.random.default_rng(0))
    assert sorted(len(group[0]) for group in ordered) == [2 + n for n in range(count)]


def test_a_batch_holds_examples_of_similar_length():
    lengths = np.random.default_rng(1).integers(2, 200, size=64)
    ordered = shuffled([(example(n, []),) for n in lengths], 8, np.random.default_rng(0))
    padded = sum(
        8 * max(len(group[0]) for group in ordered[start : start + 8]) for start in range(0, 64, 8)
    )
    assert padded < 1.25 * lengths.sum()
