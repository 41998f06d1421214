"""Rows of a model's output head that stand for no token of its tokenizer.

Heads are padded to round sizes, and tokenizers leave gaps. No text has such an id, and a model that
reads with the tokenizer cannot be asked with one, so servers never sample them and the learner's
distribution leaves them out as well.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from curio_ray.model_paths import locate_model

UNKNOWN_IDS = "curio_unknown_ids"
"""The key of vLLM's `additional_config` under which an engine is told such ids."""

Ranges = tuple[tuple[int, int], ...]
"""Ids from the first of a pair up to its second, which is not one of them."""


def unknown_ids(model: str) -> Ranges:
    """The ids below the size of a model's head that its tokenizer does not know.

    Args:
        model: a Hugging Face id, a local folder or a packaged model.
    """
    located = locate_model(model)
    known, rows = _known_ids(located), _head_rows(located)
    return gaps(known, rows) if known else ()


def gaps(known: Collection[int], rows: int) -> Ranges:
    """The ranges of ids from 0 to `rows` that are not among the known ones."""
    found, start = [], 0
    for token in sorted({each for each in known if each < rows} | {rows}):
        if token > start:
            found.append((start, token))
        start = token + 1
    return tuple(found)


def _known_ids(located: str) -> Collection[int]:
    file = Path(located) / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        return set(Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True).values())
    from transformers import AutoTokenizer

    return set(AutoTokenizer.from_pretrained(located).get_vocab().values())


def _head_rows(located: str) -> int:
    file = Path(located) / "config.json"
    if file.is_file():
        values = json.loads(file.read_text())
        rows: int = values.get("text_config", values).get("vocab_size", 0)
        return rows
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(located).get_text_config().vocab_size)
