"""Whether a model folder's weights are whole, without reading them.

What a folder lacks transformers draws at random, with a warning; every process would draw its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMED = 3


def explain_missing(loading_info: Mapping[str, Any]) -> str | None:
    """What the weights lack and what to do, or None.

    Args:
        loading_info: what transformers' `from_pretrained` found, asked by `output_loading_info`.
    """
    missing = sorted(loading_info["missing_keys"])
    if not missing:
        return None
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    advice = "take the model's whole folder"
    if missing == ["lm_head.weight"]:
        advice = (
            "write tie_word_embeddings: true into its config.json if its output head is the "
            f"embedding, or {advice}"
        )
    return (
        f"the weights lack {', '.join(missing[:_NAMED])}{more}, which would be drawn at random; "
        f"{advice}"
    )


def find_missing(folder: Path) -> str | None:
    """The same of a folder with safetensors, from their headers and a model without storage.

    Raises:
        ValueError: transformers cannot make the model; the reason is the error's text.
    """
    if not list(folder.glob("*.safetensors")):
        return None
    from transformers import AutoModelForCausalLM

    try:
        with _silent_transformers():
            _, found = AutoModelForCausalLM.from_pretrained(
                folder, device_map="meta", output_loading_info=True
            )
    except (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(" ".join(str(error).split()) or repr(error)) from error
    return explain_missing(found)


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Inside, transformers says nothing: what it would warn of becomes an error."""
    from transformers.utils import logging

    before, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bar:
            logging.enable_progress_bar()
