"""Penalties: what a policy loses by talking on and by saying the same again; one value per turn.

Both are zero or less and look at nothing but the policy's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")


def length_penalties(lengths: Sequence[int], free_tokens: int) -> np.ndarray:
    """Minus the tokens of each turn beyond the free ones, [turns].

    Args:
        lengths: sampled tokens of each turn, the end mark counted.
        free_tokens: how many of a turn cost nothing.
    """
    return -np.maximum(np.asarray(lengths, dtype=np.float64) - free_tokens, 0.0)


def repetition_penalties(utterances: Sequence[str], n: int) -> np.ndarray:
    """Minus the share of each turn's word n-grams that were said before, [turns].

    Before means earlier in the dialogue, also earlier in the same turn, so that a turn which
    goes round in circles is seen too. Words are compared without case and punctuation. A turn
    of fewer than `n` words is one n-gram; a turn without words repeats nothing.
    """
    said: set[tuple[str, ...]] = set()
    penalties = np.zeros(len(utterances))
    for turn, utterance in enumerate(utterances):
        grams = _word_grams(utterance, n)
        repeated = 0
        for gram in grams:
            repeated += gram in said
            said.add(gram)
        if grams:
            penalties[turn] = -repeated / len(grams)
    return penalties


def _word_grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    if not words:
        return []
    return [tuple(words[start : start + n]) for start in range(max(1, len(words) - n + 1))]
