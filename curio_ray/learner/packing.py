"""How sequences share forward passes: packs of bounded size, the same number on every rank."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

Pack = list[int]


def pack_sequences(lengths: Sequence[int], ranks: int, tokens_per_pack: int) -> list[list[Pack]]:
    """Spread sequences over packs, and packs over ranks.

    A pack holds at most `tokens_per_pack` tokens; a longer sequence has a pack of its own. Every
    rank gets the same number of packs, some of which may be empty, and about the same tokens.

    Args:
        lengths: tokens of each sequence.
        ranks: how many learner ranks share the work.
        tokens_per_pack: the bound on a pack.

    Returns:
        `[rank][pack][position]`: indices into `lengths`, each exactly once.
    """
    tokens = sum(min(length, tokens_per_pack) for length in lengths)
    wanted = max(1, -(-tokens // tokens_per_pack))
    count = -(-wanted // ranks) * ranks
    packs = _balance(lengths, count)
    while not _fits(packs, lengths, tokens_per_pack):
        count += ranks
        packs = _balance(lengths, count)
    return _deal(packs, lengths, ranks)


def split_minibatches(count: int, minibatches: int, seed: Sequence[int]) -> list[list[int]]:
    """A random partition of `count` sequences into minibatches whose sizes differ by at most 1.

    The same seed gives the same partition.
    """
    order = np.random.default_rng(list(seed)).permutation(count)
    return [np.sort(part).tolist() for part in np.array_split(order, min(minibatches, count))]


def _balance(lengths: Sequence[int], count: int) -> list[Pack]:
    """Longest first, each into the least filled pack."""
    packs: list[Pack] = [[] for _ in range(count)]
    filled = [(0, index) for index in range(count)]
    for sequence in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        tokens, index = heapq.heappop(filled)
        packs[index].append(sequence)
        heapq.heappush(filled, (tokens + lengths[sequence], index))
    return packs


def _fits(packs: Sequence[Pack], lengths: Sequence[int], tokens_per_pack: int) -> bool:
    return all(
        len(pack) <= 1 or sum(lengths[index] for index in pack) <= tokens_per_pack for pack in packs
    )


def _deal(packs: Sequence[Pack], lengths: Sequence[int], ranks: int) -> list[list[Pack]]:
    """Deal packs of falling size back and forth, so that ranks hold about the same tokens."""
    ordered = sorted(packs, key=lambda pack: -sum(lengths[index] for index in pack))
    dealt: list[list[Pack]] = [[] for _ in range(ranks)]
    for start in range(0, len(ordered), ranks):
        hand = ordered[start : start + ranks]
        forward = (start // ranks) % 2 == 0
        for rank, pack in enumerate(hand if forward else reversed(hand)):
            dealt[rank].append(pack)
    return dealt
