"""How models are asked: append-only contexts of token ids, or messages.

A context's prompt is rendered once, then only suffixes are added.

Token ids that a model sampled stay exactly as sampled. `ChatFormat.verify` compares the suffixes
with the tokenizer's own chat template, so that a template which cannot be extended in this way
stops the run before it starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import jinja2

from curio_ray.config.servers import AnyServerConfig, ServerConfig
from curio_ray.errors import TemplateError
from curio_ray.model_paths import locate_model
from curio_ray.roles.content import TextEncoder
from curio_ray.tasks.base import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Strings that no template treats specially; they mark where contents go.
FIRST_MARK, SECOND_MARK = "curiofirst", "curiosecond"

# Stands in for content that spells a mark while a template is rendered.
STAND_IN = "curiocontent{}end"
_STAND_IN = re.compile(r"curiocontent(\d+)end")


class ChatFormat:
    """The chat template of one model, as a prompt and suffixes of token ids.

    Raises:
        TemplateError: the tokenizer has no chat template, or its parts cannot be told apart.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: str) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self._encoder = TextEncoder(tokenizer, model)
        if not tokenizer.chat_template:
            raise TemplateError(f"{model}: its tokenizer has no chat template; use a chat model")
        self._has_system_role = self._accepts_system_role()
        self._between, self._opening = self._suffix_parts()
        self.stop_token_ids = self._stop_tokens()

    @classmethod
    def load(cls, model: str) -> ChatFormat:
        """The format of a Hugging Face id, a local folder or a packaged pocket model."""
        # Not at the top: what imports this module may yet choose to do without PyTorch.
        from transformers import AutoTokenizer

        return cls(AutoTokenizer.from_pretrained(locate_model(model)), model)

    def encode(self, text: str) -> list[int]:
        """Token ids of content, none of them a mark of the template, whatever the text spells."""
        return self._encoder.content(text)

    def encode_template(self, text: str) -> list[int]:
        """Token ids of a piece of the template, whose marks are single ids."""
        return self._encoder.template(text)

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of marks, which no content becomes."""
        return self._encoder.control_ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """What was said: the text without special tokens and outer white space."""
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=True).strip()

    def open(self, messages: Sequence[Message]) -> list[int]:
        """The prompt up to and including the mark that opens the assistant's next message."""
        contents = dict.fromkeys(each.content for each in messages)
        apart = [
            text for text in contents if self._encoder.spells_mark(text) or _STAND_IN.search(text)
        ]
        if not apart:
            return self.encode_template(self._render(messages, add_generation_prompt=True))
        return self._open_around(messages, apart)

    def _open_around(self, messages: Sequence[Message], apart: Sequence[str]) -> list[int]:
        """The prompt with these contents encoded apart from the template that holds them."""
        numbers = {text: STAND_IN.format(number) for number, text in enumerate(apart)}
        shown = [Message(each.role, numbers.get(each.content, each.content)) for each in messages]
        parts = _STAND_IN.split(self._render(shown, add_generation_prompt=True))
        ids = self.encode_template(parts[0])
        for number, text in zip(parts[1::2], parts[2::2], strict=True):
            ids += [*self.encode(apart[int(number)]), *self.encode_template(text)]
        return ids

    def reply_suffix(self, sampled_ids: Sequence[int], text: str) -> list[int]:
        """What follows the assistant's sampled ids: its end, the user's text, the next opening.

        Where the assistant already sampled the template's end mark it is not repeated.
        """
        between = self._between
        if sampled_ids and sampled_ids[-1] == between[0]:
            between = between[1:]
        return [*between, *self.encode(text), *self._opening]

    def single_message_parts(self) -> tuple[list[int], list[int]]:
        """Ids before and after the content of a prompt that is one user message."""
        text = self._render([Message("user", FIRST_MARK)], add_generation_prompt=True)
        before, _, after = text.partition(FIRST_MARK)
        return self.encode_template(before), self.encode_template(after)

    def verify(self, messages: Sequence[Message], exchanges: Sequence[tuple[str, str]]) -> None:
        """Compare the incremental context with the full template on a sample dialogue.

        Args:
            messages: the start of the chat, ending with a user message.
            exchanges: sample assistant messages, each with the user's answer. Two or more show
                whether the template keeps what the assistant said before.

        Raises:
            TemplateError: they differ; the message shows the first differing token.
        """
        incremental, chat = self.open(messages), list(messages)
        for said, answer in exchanges:
            sampled = [*self.encode(said), self._between[0]]
            incremental += [*sampled, *self.reply_suffix(sampled, answer)]
            chat += [Message("assistant", said), Message("user", answer)]
        full = self.open(chat)
        if incremental != full:
            raise TemplateError(self._first_difference(incremental, full))

    def _first_difference(self, incremental: list[int], full: list[int]) -> str:
        shared = min(len(incremental), len(full))
        position = next((i for i in range(shared) if incremental[i] != full[i]), shared)
        mine, theirs = incremental[position : position + 1], full[position : position + 1]
        return (
            f"{self.model}: its chat template cannot be extended token by token; token {position} "
            f"is {self.tokenizer.convert_ids_to_tokens(mine)} when appended and "
            f"{self.tokenizer.convert_ids_to_tokens(theirs)} in the full template; "
            "use a model whose template keeps earlier messages unchanged"
        )

    def _accepts_system_role(self) -> bool:
        try:
            text = self.tokenizer.apply_chat_template(
                [
                    {"role": "system", "content": FIRST_MARK},
                    {"role": "user", "content": SECOND_MARK},
                ],
                tokenize=False,
            )
        except jinja2.TemplateError:
            return False
        return FIRST_MARK in text

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        if not self._has_system_role:
            messages = _without_system(messages)
        return self.tokenizer.apply_chat_template(
            [message.as_dict() for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )

    def _suffix_parts(self) -> tuple[list[int], list[int]]:
        text = self._render(
            [
                Message("user", "hello"),
                Message("assistant", FIRST_MARK),
                Message("user", SECOND_MARK),
            ],
            add_generation_prompt=True,
        )
        _, first, rest = text.partition(FIRST_MARK)
        between, second, opening = rest.partition(SECOND_MARK)
        if not (first and second and between and opening):
            raise TemplateError(f"{self.model}: its chat template does not keep message contents")
        return self.encode_template(between), self.encode_template(opening)

    def _stop_tokens(self) -> tuple[int, ...]:
        stops = [self._between[0]]
        end = self.tokenizer.eos_token_id
        if isinstance(end, int) and end not in stops:
            stops.append(end)
        return tuple(stops)


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """A model behind a URL that takes messages: its own service applies its chat template."""

    model: str


ModelFormat = ChatFormat | MessageFormat


def format_loader(servers: Mapping[str, AnyServerConfig]) -> Callable[[str], ModelFormat]:
    """How the model of each server is asked, by the server's name; each tokenizer is loaded once.

    Its function raises `TemplateError` where a tokenizer has no usable chat template.
    """
    load = cache(ChatFormat.load)

    def form(name: str) -> ModelFormat:
        server = servers[name]
        if isinstance(server, ServerConfig):
            return load(server.model)
        return MessageFormat(server.model) if server.tokenizer is None else load(server.tokenizer)

    return form


def token_format(load: Callable[[str], ModelFormat], policy: str) -> ChatFormat:
    """The format of the policy, whose server is never behind a URL."""
    form = load(policy)
    assert isinstance(form, ChatFormat)
    return form


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Give the system text to the first user message, or make it one, as such models expect."""
    if not messages or messages[0].role != "system":
        return list(messages)
    system, *rest = messages
    if rest and rest[0].role == "user":
        return [Message("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:]]
    return [Message("user", system.content), *rest]
