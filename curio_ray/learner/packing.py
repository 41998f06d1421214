"""How sequences share forward passes: packs of bounded size, and the tensors of one pack."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from curio_ray.learner.sequences import SequenceScore, TrainingSequence

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


@dataclass(frozen=True, slots=True)
class Segments:
    """Where the segments of a pack are: their lengths, and int32[S + 1], 0 and the end of each.

    Attention on a GPU reads the ends there; to send them once for all layers keeps it busy.
    """

    lengths: tuple[int, ...]
    ends: torch.Tensor

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Segments:
        """Segments of these lengths, in a row."""
        ends = np.cumsum([0, *lengths], dtype=np.int32)
        return cls(lengths, torch.from_numpy(ends).to(device))


@dataclass(frozen=True, slots=True)
class PackedTensors:
    """N tokens of several sequences in a row, with A sampled tokens and T policy turns.

    `token_ids` and `position_ids` are int64[1, N]; positions restart with every segment.
    The `segments` fill N. `action_rows` int64[A] are the tokens whose hidden state predicts
    `action_ids` int64[A]; `value_rows` int64[T] those whose hidden state is valued. `action_turns`
    int64[A] is each action's turn, an index into T in rising order; `turn_dialogues` int64[T] each
    turn's dialogue, counted within the pack. The rest are float32: [A] and, for `value_targets`,
    [T]. `reference_log_probs` is None where a sequence has not been scored. `fresh` bool[A] is true
    where the learner's present weights are known to have sampled the action.
    """

    token_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: Segments
    action_rows: torch.Tensor
    action_ids: torch.Tensor
    action_turns: torch.Tensor
    turn_dialogues: torch.Tensor
    behaviour_log_probs: torch.Tensor
    reference_log_probs: torch.Tensor | None
    advantages: torch.Tensor
    value_rows: torch.Tensor
    value_targets: torch.Tensor
    fresh: torch.Tensor


def pack_tensors(sequences: Sequence[TrainingSequence], device: torch.device) -> PackedTensors:
    """Lay sequences out one after the other.

    No sequences at all give a single padding token that is neither an action nor valued: the pass
    takes part in every collective and contributes nothing.
    """
    offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
    turns = [len(sequence.value_positions) for sequence in sequences]
    lengths = tuple(len(sequence) for sequence in sequences) or (1,)

    def joined(parts: list[np.ndarray], dtype: type) -> torch.Tensor:
        array = np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
        return torch.from_numpy(array).to(device)

    masks = [sequence.action_mask for sequence in sequences]
    actions = [np.flatnonzero(mask) for mask in masks]

    def at_actions(name: str) -> torch.Tensor:
        arrays = [getattr(sequence, name) for sequence in sequences]
        return joined([a[action] for a, action in zip(arrays, actions, strict=True)], np.float32)

    scored = all(sequence.reference_log_probs is not None for sequence in sequences)
    fresh = [
        np.zeros(len(action), bool) if s.fresh is None else s.fresh[action]
        for s, action in zip(sequences, actions, strict=True)
    ]

    token_ids = [sequence.token_ids for sequence in sequences] or [np.zeros(1)]
    return PackedTensors(
        token_ids=joined(token_ids, np.int64)[None],
        position_ids=joined([np.arange(length) for length in lengths], np.int64)[None],
        segments=Segments.of(lengths, device),
        action_rows=joined(
            [a + offset - 1 for a, offset in zip(actions, offsets, strict=False)], np.int64
        ),
        action_ids=joined(
            [s.token_ids[a] for s, a in zip(sequences, actions, strict=True)], np.int64
        ),
        action_turns=joined(
            [
                s.turns_of(a) + first
                for s, a, first in zip(sequences, actions, np.cumsum([0, *turns]), strict=False)
            ],
            np.int64,
        ),
        turn_dialogues=joined([np.repeat(np.arange(len(turns)), turns)], np.int64),
        behaviour_log_probs=at_actions("behaviour_log_probs"),
        reference_log_probs=at_actions("reference_log_probs") if scored else None,
        advantages=at_actions("advantages"),
        value_rows=joined(
            [s.value_positions + offset for s, offset in zip(sequences, offsets, strict=False)],
            np.int64,
        ),
        value_targets=joined([s.value_targets for s in sequences], np.float32),
        fresh=joined(fresh, np.bool_),
    )


def unpack_scores(
    sequences: Sequence[TrainingSequence],
    log_probs: torch.Tensor,
    reference: torch.Tensor,
    values: torch.Tensor,
) -> Iterator[SequenceScore]:
    """Cut a pack's results [A], [A] and [T] into the scores of its sequences, if it has any."""
    if not sequences:
        return
    action_ends = np.cumsum([sequence.policy_tokens for sequence in sequences])[:-1]
    turn_ends = np.cumsum([len(sequence.value_positions) for sequence in sequences])[:-1]
    for sequence, own, old, value in zip(
        sequences,
        np.split(log_probs.cpu().numpy(), action_ends),
        np.split(reference.cpu().numpy(), action_ends),
        np.split(values.cpu().numpy(), turn_ends),
        strict=True,
    ):
        spread = np.zeros((2, len(sequence)), dtype=np.float32)
        spread[:, sequence.action_mask] = own, old
        yield SequenceScore(log_probs=spread[0], reference_log_probs=spread[1], values=value)
