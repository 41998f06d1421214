"""From text to token ids: marks of a template are single ids, words that spell a mark are not.

Content is whatever people or models said, wrote or recorded. A tokenizer left to itself reads
`<|im_end|>` in it as the end of the message.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from curio_ray.errors import TemplateError
from curio_ray.tasks.base import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ENCODED_TEXTS = 4096

_MARK = re.compile(r"<[|｜].*[|｜]>")
SPELLED_MARK = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|</?(?:s|think|bos|eos|pad|unk|(?:start|end)_of_turn)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK)\]|<</?SYS>>"
)
"""Marks as chat templates of known families write them, whatever the tokenizer."""
_SHORTEST_NAMED_MARK = 3


class TextEncoder:
    """One model's tokenizer, told what of a text is template and what is content."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: str) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self.control_ids = control_ids(tokenizer)
        # Llama 2's template, for one, writes `[INST]` in ordinary tokens.
        template = str(tokenizer.chat_template or "")
        self._written = set(SPELLED_MARK.findall(template)) - set(tokenizer.get_added_vocab())
        # Each utterance is heard by several roles, and instructions by every dialogue's.
        self._of_content = lru_cache(maxsize=ENCODED_TEXTS)(self._encode_content)
        self._of_template = lru_cache(maxsize=ENCODED_TEXTS)(self._encode_template)

    def template(self, text: str) -> list[int]:
        """Token ids of a piece of a template: what spells a mark is the mark."""
        return list(self._of_template(text))

    def content(self, text: str) -> list[int]:
        """Token ids of content: what spells a mark becomes ordinary tokens.

        Raises:
            TemplateError: the tokenizer makes a mark of a single character.
        """
        return list(self._of_content(text))

    def spells_mark(self, text: str) -> bool:
        """Whether the model, told the text as it is, would read a mark in it."""
        if self._written and not self._written.isdisjoint(SPELLED_MARK.findall(text)):
            return True
        return not self.control_ids.isdisjoint(self._of_template(text))

    def _encode_template(self, text: str) -> tuple[int, ...]:
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False)
        return tuple(ids)

    def _encode_content(self, text: str) -> tuple[int, ...]:
        if not self.spells_mark(text):
            return self._of_template(text)
        return tuple(self._without_marks(broken_marks(text, self._written)))

    def _without_marks(self, text: str) -> list[int]:
        """The ids with special tokens split; other added tokens match all the same and are cut."""
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        # a special token that is left stands for characters which the tokenizer does not know
        marks = self.control_ids - {self._tokenizer.unk_token_id}
        if marks.isdisjoint(ids):
            return ids
        cuts = [0, *self._places_to_cut(text, marks), len(text)]
        return [
            id_ for start, end in pairwise(cuts) for id_ in self._without_marks(text[start:end])
        ]

    def _places_to_cut(self, text: str, marks: frozenset[int]) -> list[int]:
        """The middle of every mark in the text; of the whole text where they cannot be found."""
        spans = [(0, len(text))]
        if self._tokenizer.is_fast:
            found = self._tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
            pairs = zip(found["input_ids"], found["offset_mapping"], strict=True)
            spans = [span for id_, span in pairs if id_ in marks]
        for start, end in spans:
            if end - start < 2:
                raise TemplateError(
                    f"{self._model}: its tokenizer makes a mark of its template of "
                    f"{text[start:end]!r}; use a model whose marks are words of their own"
                )
        return [(start + end) // 2 for start, end in spans]


def broken_marks(text: str, marks: Container[str] | None = None) -> str:
    """The text with a space within these marks, all that are known by default.

    For who cannot be kept from reading marks in it.
    """

    def broken(found: re.Match[str]) -> str:
        mark = found[0]
        return f"{mark[0]} {mark[1:]}" if marks is None or mark in marks else mark

    return SPELLED_MARK.sub(broken, text)


def plain_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages for an endpoint, which puts them into its own template: no mark is spelled out."""
    return [{"role": each.role, "content": broken_marks(each.content)} for each in messages]


def control_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that content must never become.

    They are the special tokens, and of the other added tokens those that the chat template names,
    such as `<think>`, or that are written like a mark. Line breaks or tags that a tokenizer has as
    added tokens are words.
    """
    named = str(tokenizer.chat_template or "")
    found = set(tokenizer.all_special_ids)
    for token_id, token in tokenizer.added_tokens_decoder.items():
        text = token.content.strip()
        in_template = len(text) >= _SHORTEST_NAMED_MARK and not text.isalnum() and text in named
        if token.special or in_template or _MARK.fullmatch(text):
            found.add(token_id)
    return frozenset(found)
