"""From words to the token ids that the rollout sends, through the rollout's own formats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerFast

from curio_ray.dialogue import Speaker
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Message, ReadingPrompt

Utterance = tuple[Speaker, str]

_SENTINEL = "CONTENT"
CACHED_TEXTS = 10_000


class Renderer:
    """Renders training dialogues with the marks of the tokenizer's own chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.vocabulary_size = len(tokenizer)
        self.end = int(tokenizer.eos_token_id)
        self._chat_format = ChatFormat(tokenizer, "the pocket tokenizer")
        self._reading_format = lru_cache(CACHED_TEXTS)(self._find_reading_format)
        self._utterance = lru_cache(CACHED_TEXTS)(self._render_utterance)
        self.text = lru_cache(CACHED_TEXTS)(self._encode)
        self._marks = lru_cache(CACHED_TEXTS)(self._find_marks)
        whole = self._template("user", add_generation_prompt=True)
        self.generation_prompt = self.text(whole.removeprefix(self._template("user")))

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """The ids of finished messages, without a generation prompt."""
        return [token for message in messages for token in self.message(message)]

    def message(self, message: Message) -> list[int]:
        """The ids of one finished message: opening mark, content, end mark."""
        before, after = self._marks(message.role)
        return [*before, *self.text(message.content), *after]

    def reading(self, prompt: ReadingPrompt, utterances: Sequence[Utterance]) -> list[int]:
        """The ids after which the next token is a label."""
        reading = self._reading_format(prompt)
        ids = list(reading.start_ids)
        for speaker, text in utterances:
            ids.extend(self._utterance(prompt, speaker, text))
        return [*ids, *reading.question_ids]

    def word(self, word: str) -> int:
        """The id of a single word.

        Raises:
            ValueError: the text is not one token.
        """
        ids = self.text(word)
        if len(ids) != 1:
            raise ValueError(f"'{word}' is {len(ids)} tokens; a label must be one")
        return ids[0]

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._chat_format.encode(text))

    def _find_reading_format(self, prompt: ReadingPrompt) -> ReadingFormat:
        return ReadingFormat(self._chat_format, prompt)

    def _render_utterance(self, prompt: ReadingPrompt, speaker: Speaker, text: str) -> list[int]:
        return self._reading_format(prompt).utterance(speaker, text)

    def _template(self, role: str, add_generation_prompt: bool = False) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                [{"role": role, "content": _SENTINEL}],
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )

    def _find_marks(self, role: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        before, after = self._template(role).split(_SENTINEL)
        return self.text(before), self.text(after)
