"""The chat template of a model as text: which roles it takes, what it puts around contents.

Contents never pass through a template in dialogues. A template is rendered once with marks in
their place, so that none of a template's own rules can drop, trim or obey what somebody said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import jinja2

from curio_ray.errors import TemplateError
from curio_ray.tasks.base import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a template can raise: Jinja's own errors, and Python's where its expressions meet a value
# that they are not made for, or a statement stands where it cannot.
RENDER_ERRORS = (
    jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError,
    RecursionError, SyntaxError,
)  # fmt: skip
# What opens a chat for models whose templates let nobody but the user speak first.
NOTHING_SAID = "..."

_SKELETONS = 256
Role = Literal["system", "user", "assistant"]
Cast = Callable[[Sequence[Message]], list[Message]]
# How a chat is cast, and the texts around its contents.
Skeleton = tuple[Cast, tuple[str, ...]]
_EMPTY_THOUGHT = re.compile(r"<think>\s*</think>\s*\Z")
_SWITCHES = ("enable_thinking", "thinking")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a rendered chat: the template's own marks, or what somebody said."""

    text: str
    is_content: bool


@dataclass(frozen=True, slots=True)
class TurnParts:
    """What a template puts around an assistant's message and the user's answer to it.

    `lead` and `tail` are white space that the model itself samples around its words, `end` is the
    special token that ends them, `after_end` goes up to the user's words, `opening` from their end
    to where the next message of the assistant begins. `opening` ends with `empty_thought` where
    the template opens a message so and leaves it out of earlier ones.
    """

    lead: str
    tail: str
    end: str
    after_end: str
    opening: str
    empty_thought: str


class ChatTemplate:
    """Renders chats with a tokenizer's template, some values of its own and a clock that stands.

    Args:
        values: what the template reads besides the messages, such as `enable_thinking`.
        clock: the moment that the template takes for now.

    Raises:
        TemplateError: there is no template, it fails, it does not read one of the values, its parts
            cannot be told apart, or its model would think before it speaks.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model: str,
        values: Mapping[str, Any],
        clock: datetime,
    ) -> None:
        if not tokenizer.chat_template:
            raise TemplateError(
                f"{model}: its tokenizer has no chat template; use a chat model, or write "
                "chat_template, a Jinja file, for its server"
            )
        self._tokenizer = tokenizer
        self._model = model
        self._values = dict(values)
        self._clock = clock
        self._skeleton = lru_cache(maxsize=_SKELETONS)(self._find_skeleton)
        self._refuse_unread_values()
        self._refuse_thinking()
        self.turn = self._turn_parts()
        if not self.turn.empty_thought and self._drops_thoughts():
            raise self._thinks("leaves <think> ... </think> out of earlier messages", None)

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """A chat up to the mark that opens the assistant's next message; contents are stripped.

        Raises:
            TemplateError: the template takes no chat of these roles.
        """
        cast, texts = self._skeleton(tuple(message.role for message in messages))
        pieces = [Piece(texts[0], False)]
        for message, text in zip(cast(_stripped(messages)), texts[1:], strict=True):
            pieces += [Piece(message.content, True), Piece(text, False)]
        return pieces

    def whole(self, start: Sequence[Message], more: Sequence[Message] = ()) -> str:
        """A chat, and what was said after its start, as the template itself renders the contents.

        Raises:
            TemplateError: the template fails on these contents.
        """
        cast, _ = self._skeleton(tuple(message.role for message in start))
        return self._render([*cast(_stripped(start)), *_stripped(more)])

    def _render(self, messages: Sequence[Message], **values: Any) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [message.as_dict() for message in messages],
                    tokenize=False,
                    add_generation_prompt=True,
                    strftime_now=self._clock.strftime,
                    **{**self._values, **values},
                )
            )
        except RENDER_ERRORS as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> TemplateError:
        line = getattr(error, "lineno", None)
        where = "" if line is None else f" in line {line}"
        return TemplateError(
            f"{self._model}: its chat template fails{where}: {type(error).__name__}: {error}; "
            "write chat_template, a Jinja file without the fault, for its server"
        )

    def _find_skeleton(self, roles: tuple[Role, ...]) -> Skeleton:
        """The first cast whose chat grows, or that renders at all, and the texts around contents.

        A template's own cast comes first: what it does itself with a system message is right.
        """
        messages = [Message(role, "") for role in roles]
        possible: list[Skeleton] = []
        failure: TemplateError | None = None
        for cast in _CASTS:
            marked = _marked(cast(messages))
            try:
                texts = _split_at_marks(self._render(marked), len(marked))
            except TemplateError as error:
                failure = failure or error
                continue
            if texts is None:
                continue
            possible.append((cast, texts))
            if self._grows(marked, texts):
                return possible[-1]
        if possible:
            return possible[0]
        raise failure or TemplateError(
            f"{self._model}: its chat template does not keep the messages' contents of a chat of "
            f"{', '.join(roles)}; write chat_template, a Jinja file that does, for its server"
        )

    def _grows(self, marked: Sequence[Message], texts: tuple[str, ...]) -> bool:
        if marked[-1].role != "user":
            return True
        more = _marked([*marked, Message("assistant", ""), Message("user", "")])
        try:
            longer = _split_at_marks(self._render(more), len(more))
        except TemplateError:
            return False
        return longer is not None and longer[: len(marked)] == texts[:-1]

    def _turn_parts(self) -> TurnParts:
        _, written, between, opening = self._skeleton(("user", "assistant", "user"))[1]
        lead, empty_thought = self._opening_parts(written, opening)
        tail, end, after_end = self._end_parts(between)
        return TurnParts(lead, tail, end, after_end, opening, empty_thought)

    def _opening_parts(self, written: str, opening: str) -> tuple[str, str]:
        """`lead` and `empty_thought`: how an earlier message's beginning differs from `opening`."""
        if written.startswith(opening) and not written[len(opening) :].strip():
            return written[len(opening) :], ""
        if opening.startswith(written) and _EMPTY_THOUGHT.match(opening[len(written) :]):
            return "", opening[len(written) :]
        raise TemplateError(
            f"{self._model}: {self.first_difference(opening, written)}; write chat_template, a "
            f"Jinja file that opens the assistant's next message with {written!r} as well, for its "
            "server"
        )

    def _end_parts(self, between: str) -> tuple[str, str, str]:
        """`tail`, `end` and `after_end`: what lies between the assistant's and the user's words."""
        found = [
            (between.index(token), -len(token), token)
            for token in self._tokenizer.get_added_vocab()
            if token in between
        ]
        position, _, end = min(found, default=(0, 0, ""))
        if not end or between[:position].strip():
            raise TemplateError(
                f"{self._model}: its chat template ends the assistant's message with {between!r}, "
                "not with a special token; write chat_template, a Jinja file that does, for its "
                "server"
            )
        return between[:position], end, between[position + len(end) :]

    def first_difference(self, appended: str | Sequence[int], full: str | Sequence[int]) -> str:
        """A sentence that shows the first token in which two renderings, or their ids, differ."""
        mine, theirs = (
            self._tokenizer.encode(each, add_special_tokens=False)
            if isinstance(each, str)
            else list(each)
            for each in (appended, full)
        )
        shared = min(len(mine), len(theirs))
        position = next((i for i in range(shared) if mine[i] != theirs[i]), shared)
        shown = self._tokenizer.convert_ids_to_tokens
        return (
            f"its chat template cannot be extended token by token; token {position} is "
            f"{shown(mine[position : position + 1])} when appended and "
            f"{shown(theirs[position : position + 1])} in the full template"
        )

    def _refuse_unread_values(self) -> None:
        template = self._tokenizer.get_chat_template()
        for name in self._values:
            if not _names(template, name):
                switches = [each for each in _SWITCHES if _names(template, each)]
                write = f"write {' or '.join(switches)}, or leave" if switches else "leave"
                raise TemplateError(
                    f"chat_template_kwargs.{name}: the chat template of {self._model} does not "
                    f"read '{name}'; {write} it out"
                )

    def _refuse_thinking(self) -> None:
        chat = [Message("user", _mark(0))]
        opening, template = self._render(chat), self._tokenizer.get_chat_template()
        if opening.rstrip().endswith("<think>"):
            raise self._thinks("opens the assistant's message with <think>", None)
        for switch in _SWITCHES:
            if _names(template, switch):
                on, off = (self._render(chat, **{switch: each}) for each in (True, False))
                if opening == on != off:
                    raise self._thinks(f"has {switch} on", switch)

    def _drops_thoughts(self) -> bool:
        said = f"<think>\n{_mark(0)}\n</think>\n\n{_mark(1)}"
        chat = [Message("user", _mark(2)), Message("assistant", said), Message("user", _mark(3))]
        return said not in self._render(chat)

    def _thinks(self, why: str, switch: str | None) -> TemplateError:
        advice = (
            f"chat_template_kwargs: {{{switch}: false}} for its server"
            if switch is not None
            else "chat_template for its server: a Jinja file that opens the assistant's message "
            "with an empty thought, <think>\\n\\n</think>\\n\\n, and keeps earlier messages "
            "as they are"
        )
        return TemplateError(
            f"{self._model}: its chat template {why}, so that its model thinks before it speaks; "
            f"the user would hear the thoughts and readers would take them for answers; write "
            f"{advice}"
        )


def _names(template: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", template) is not None


def _as_it_is(messages: Sequence[Message]) -> list[Message]:
    return list(messages)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The system text is given to the first user message, or made one."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [_joined(system, rest[0], "user"), *rest[1:]]
    return [Message("user", system.content), *rest]


def _alternating(messages: Sequence[Message]) -> list[Message]:
    """Folded, with one message where one speaker has several, and the user always first."""
    chat: list[Message] = []
    for message in _folded(messages):
        if message.role == "system":
            message = Message("user", message.content)
        if not chat and message.role == "assistant":
            chat.append(Message("user", NOTHING_SAID))
        if chat and chat[-1].role == message.role:
            chat[-1] = _joined(chat[-1], message, message.role)
        else:
            chat.append(message)
    return chat


def _joined(first: Message, second: Message, role: Role) -> Message:
    return Message(role, f"{first.content}\n\n{second.content}")


_CASTS = (_as_it_is, _folded, _alternating)


def _stripped(messages: Sequence[Message]) -> list[Message]:
    return [Message(message.role, message.content.strip()) for message in messages]


def _mark(number: int) -> str:
    # letters and digits, which no template treats specially
    return f"curiomark{number}x"


def _marked(messages: Sequence[Message]) -> list[Message]:
    return [Message(message.role, _mark(number)) for number, message in enumerate(messages)]


def _split_at_marks(text: str, count: int) -> tuple[str, ...] | None:
    """The texts around the marks, or None where one is missing, repeated or out of its place."""
    texts = []
    for number in range(count):
        before, mark, text = text.partition(_mark(number))
        if not mark or mark in text:
            return None
        texts.append(before)
    return (*texts, text)
