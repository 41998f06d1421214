"""How many tokens a text takes, guessed where a model's tokenizer is not at hand."""

from __future__ import annotations

import math

_CHARACTERS_PER_TOKEN = 3.0


def estimate_tokens(text: str) -> int:
    """Tokens of an English text, rather too many: tokenizers need one per four characters or so.

    A word or mark that stands alone is at least one token.
    """
    return max(len(text.split()), math.ceil(len(text) / _CHARACTERS_PER_TOKEN))
