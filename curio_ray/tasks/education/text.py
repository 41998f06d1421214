"""What a text of the Education Dialogue dataset says, and whether it ends the conversation."""

from __future__ import annotations

import re

END_MARKER = "[End of conversation]"

# In brackets the marker counts anywhere; bare only as a sentence or line of its own, or in bold, at
# the end, since "at the end of conversation we vote" is talk.
_END = re.compile(
    r"""[*_]*[\[(]\s*end\s+of\s+(?:the\s+)?conversation\b.*$
    |(?:^|(?<=[.!?"',])\s+|\s*\n\s*|[*_]+\s*)end\s+of\s+(?:the\s+)?conversation\b[\W_]*$""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_STRAY_TAIL = re.compile(r"""(?:"',|[\s",])+$""")
_ANNOTATION = re.compile(r'"\s*[\[(][^\])]*[\])]$')


def ends_conversation(text: str) -> bool:
    """Whether the text holds the end marker in one of its spellings."""
    return _END.search(text) is not None


def without_end_marker(text: str) -> str:
    """The text up to the end marker, without white space around it; all of it where none is."""
    return _END.sub("", text).strip() if ends_conversation(text) else text


def spoken_text(raw: str) -> str:
    """The text without the end marker, stray quotes and commas, and outer white space.

    A quotation that the text itself opens keeps its closing quote. An annotation in brackets
    behind a stray quote, such as `Let us begin." (Formative assessment)`, was not spoken.
    """
    text = _END.sub("", raw).strip()
    kept = _STRAY_TAIL.sub("", text)
    if kept.count('"') % 2 == 0:
        return kept
    if _ANNOTATION.search(kept):
        return _ANNOTATION.sub("", kept).strip()
    tail = text[len(kept) :]
    return f'{kept}"' if '"' in tail else kept
