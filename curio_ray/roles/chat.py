"""How models are asked: append-only contexts of token ids, or messages.

A context's prompt is rendered once, then only suffixes are added.

Token ids that a model sampled stay exactly as sampled. `ChatFormat.verify` compares the suffixes
with the tokenizer's own chat template, so that a template which cannot be extended in this way
stops the run before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from curio_ray.config.servers import AnyServerConfig, ServerConfig
from curio_ray.errors import TemplateError
from curio_ray.model_files import end_ids
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat_template import ChatTemplate, Piece
from curio_ray.roles.content import TextEncoder
from curio_ray.tasks.base import Message
from curio_ray.template_files import read_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINE_BREAK = "\n"


class ChatFormat:
    """The chat template of one model, as a prompt and suffixes of token ids.

    Args:
        tokenizer: the model's.
        model: its name, for errors.
        values: what the template reads besides the messages.
        clock: the moment that the template takes for now; the present one by default.
        ends: ids that end a turn besides the template's end mark and the tokenizer's end.

    Raises:
        TemplateError: the tokenizer has no usable chat template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model: str,
        values: Mapping[str, Any] | None = None,
        clock: datetime | None = None,
        ends: Sequence[int] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self._ends = ends
        self._encoder = TextEncoder(tokenizer, model)
        self.template = ChatTemplate(tokenizer, model, values or {}, clock or datetime.now())
        turn = self.template.turn
        self._end = self.encode_template(turn.end)[0]
        self._thought_length = len(self.encode_template(turn.empty_thought))
        self.stop_token_ids = self._stop_tokens()

    @classmethod
    def load(cls, model: str) -> ChatFormat:
        """The format of a Hugging Face id, a local folder or a packaged pocket model."""
        return cls(load_tokenizer(model), model, ends=end_ids(model))

    def encode(self, text: str) -> list[int]:
        """Token ids of content, none of them a mark of the template, whatever the text spells."""
        return self._encoder.content(text)

    def encode_template(self, text: str) -> list[int]:
        """Token ids of a piece of the template, whose marks are single ids."""
        return self._encoder.template(text)

    def spells_mark(self, text: str) -> bool:
        """Whether the tokenizer, left to itself, reads a mark in the text."""
        return self._encoder.spells_mark(text)

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of marks, which no content becomes."""
        return self._encoder.control_ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """What was said: the text without its end, special tokens, thoughts and outer white space.

        Which ids end a turn the model's files say; the tokenizer may take one for a word.
        """
        ids = list(token_ids)
        while ids and ids[-1] in self.stop_token_ids:
            ids.pop()
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return without_thought(text).strip()

    def open(self, messages: Sequence[Message]) -> list[int]:
        """The prompt up to and including the mark that opens the assistant's next message."""
        return self._encode_pieces(self.template.pieces(messages))

    def reply_suffix(self, sampled_ids: Sequence[int], text: str) -> list[int]:
        """What follows the assistant's sampled ids: its end, the user's text, the next opening.

        Where the assistant already sampled the template's end mark it is not repeated.
        """
        turn = self.template.turn
        suffix = self._encode_pieces(
            [Piece(turn.end + turn.after_end, False), Piece(text.strip(), True),
             Piece(turn.opening, False)]
        )  # fmt: skip
        ended = bool(sampled_ids) and sampled_ids[-1] == self._end
        return suffix[1:] if ended else suffix

    def spoken(self, text: str) -> list[int]:
        """The ids with which the model itself says a text, from the opening to its end mark."""
        turn = self.template.turn
        words = Piece(f"{turn.lead}{text.strip()}{turn.tail}", True)
        return [*self._behind(turn.opening, [words]), self._end]

    def answer(self, text: str) -> list[int]:
        """The ids with which the model begins an answer of these words behind the opening.

        Raises:
            TemplateError: the words change the opening's last tokens, so that no model says them.
        """
        turn = self.template.turn
        ids = self._following(turn.opening, [Piece(turn.lead + text, True)])
        if ids is None:
            raise TemplateError(
                f"{self.model}: '{text}' joins the last token of the prompt before it; give the "
                "task labels that begin with a letter or digit"
            )
        return ids

    def begin_message(self, text: str) -> list[int]:
        """A prompt of one user message, from its first mark to the end of these first words."""
        before, *_ = self.template.pieces([Message("user", "")])
        return self._encode_pieces([before, Piece(text, True)])

    def add_line(self, text: str) -> list[int]:
        """A further line of that message; every line ends with a line break."""
        return self._behind(LINE_BREAK, [Piece(text, True)])

    def end_message(self, text: str) -> list[int]:
        """The last words of that message and all up to where the answer begins."""
        *_, after = self.template.pieces([Message("user", "")])
        return self._behind(LINE_BREAK, [Piece(text, True), after])

    def _encode_pieces(self, pieces: Sequence[Piece]) -> list[int]:
        """The ids of all pieces together, or of each alone where a content spells a mark."""
        if any(piece.is_content and self._encoder.spells_mark(piece.text) for piece in pieces):
            return [
                token
                for piece in pieces
                for token in (self.encode if piece.is_content else self.encode_template)(piece.text)
            ]
        return self.encode_template("".join(piece.text for piece in pieces))

    def _behind(self, before: str, pieces: Sequence[Piece]) -> list[int]:
        """The ids of pieces behind some text, or alone where they would join its last token."""
        ids = self._following(before, pieces)
        return self._encode_pieces(pieces) if ids is None else ids

    def _following(self, before: str, pieces: Sequence[Piece]) -> list[int] | None:
        """The ids that the tokenizer, given both together, makes of pieces behind some text."""
        first = self.encode_template(before)
        whole = self._encode_pieces([Piece(before, False), *pieces])
        return whole[len(first) :] if whole[: len(first)] == first else None

    def verify(self, messages: Sequence[Message], exchanges: Sequence[tuple[str, str]]) -> None:
        """Compare the incremental context with the full template on a sample dialogue.

        An empty thought with which the template opens a message stays in the context, also where
        the template leaves it out of earlier messages.

        Args:
            messages: the start of the chat, ending with a user message.
            exchanges: sample assistant messages, each with the user's answer. Two or more show
                whether the template keeps what the assistant said before.

        Raises:
            TemplateError: they differ; the message shows the first differing token.
        """
        start = [Message(each.role, self._without_marks(each.content)) for each in messages]
        context, more = self.open(start), list[Message]()
        for said, answer in (map(self._without_marks, exchange) for exchange in exchanges):
            del context[len(context) - self._thought_length :]
            sampled = self.spoken(said)
            context += [*sampled, *self.reply_suffix(sampled, answer)]
            more += [Message("assistant", said), Message("user", answer)]
        self.check_equal(context, start, more)

    def check_equal(
        self, token_ids: Sequence[int], start: Sequence[Message], more: Sequence[Message] = ()
    ) -> None:
        """Compare ids with those of the full template for a chat and what was said after its start.

        Raises:
            TemplateError: they differ; the message shows the first differing token.
        """
        full = self.encode_template(self.template.whole(start, more))
        if list(token_ids) != full:
            raise TemplateError(
                f"{self.model}: {self.template.first_difference(token_ids, full)}; use a model "
                "whose template keeps earlier messages unchanged, or write chat_template, a Jinja "
                "file that does, for its server"
            )

    def _without_marks(self, text: str) -> str:
        """Something else in the place of a text that spells a mark, which is not to become one."""
        return "a" if self._encoder.spells_mark(text) else text

    def _stop_tokens(self) -> tuple[int, ...]:
        end = self.tokenizer.eos_token_id
        own = [end] if isinstance(end, int) else []
        return tuple(dict.fromkeys([self._end, *own, *self._ends]))


def without_thought(text: str) -> str:
    """What is heard of a text: nothing of a thought before `</think>`, or of one without an end."""
    heard = text.rpartition("</think>")[2]
    return "" if heard.lstrip().startswith("<think>") else heard


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """A model behind a URL that takes messages: its own service applies its chat template."""

    model: str


ModelFormat = ChatFormat | MessageFormat


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a Hugging Face id, a local folder or a packaged pocket model."""
    # Not at the top: what imports this module may yet choose to do without PyTorch.
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(locate_model(model))


def served_format(
    tokenizer: PreTrainedTokenizerBase,
    model: str,
    servers: Mapping[str, AnyServerConfig],
    name: str,
    clock: datetime | None,
    ends: Sequence[int] = (),
) -> ChatFormat:
    """A tokenizer's format with the template and the values that the config of a server gives.

    Raises:
        ConfigError: the template's file cannot be read.
        TemplateError: the template cannot be used.
    """
    server = servers[name]
    if server.chat_template is not None:
        field = f"servers.{name}.chat_template"
        tokenizer.chat_template = read_template(server.chat_template, field)
    try:
        return ChatFormat(tokenizer, model, server.chat_template_kwargs, clock, ends)
    except TemplateError as error:
        raise TemplateError(f"servers.{name}: {error}") from error


def format_loader(
    servers: Mapping[str, AnyServerConfig], clock: datetime | None = None
) -> Callable[[str], ModelFormat]:
    """How the model of each server is asked, by the server's name; each is made once.

    `clock` is the moment that all templates take for now, by default the present one. The function
    raises `TemplateError` where a tokenizer has no usable chat template.
    """
    clock = clock or datetime.now()

    @cache
    def form(name: str) -> ModelFormat:
        server = servers[name]
        model = server.model if isinstance(server, ServerConfig) else server.tokenizer
        if model is None:
            return MessageFormat(server.model)
        try:
            tokenizer = load_tokenizer(model)
        except Exception as error:  # tokenizers raises no narrower ones
            raise TemplateError(
                f"servers.{name}: the tokenizer of {model} cannot be loaded ({error}); write the "
                "name or the folder of a model with a tokenizer that transformers can load"
            ) from error
        return served_format(tokenizer, model, servers, name, clock, end_ids(model))

    return form


def token_format(load: Callable[[str], ModelFormat], policy: str) -> ChatFormat:
    """The format of the policy, whose server is never behind a URL."""
    form = load(policy)
    assert isinstance(form, ChatFormat)
    return form
