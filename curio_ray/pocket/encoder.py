"""From words to the token ids that the rollout sends: the tokenizer, and the dialogues' encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from curio_ray.dialogue import Speaker
from curio_ray.roles.chat import ChatFormat
from curio_ray.roles.reading import ReadingFormat
from curio_ray.tasks.base import Message, ReadingPrompt
from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, STRATEGIES

Utterance = tuple[Speaker, str]

_SENTINEL = "CONTENT"
CACHED_TEXTS = 10_000

PAD, UNKNOWN, END = "<|pad|>", "<|unknown|>", "<|end|>"
SPECIAL = (PAD, UNKNOWN, END, "<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def vocabulary() -> list[str]:
    """Every token in the order of its id: special tokens, then all words that anybody says."""
    prompts = [
        words.persona_instruction({}),
        words.READING_INSTRUCTION,
        words.USER_MODEL_QUESTION,
        words.reward_model_question("ideal"),
        *(words.policy_instruction(number + 1) for number in range(words.MAX_QUESTIONS)),
    ]
    roles = (f"{words.POLICY_NAME} :", f"{words.USER_NAME} :", *words.REWARD_MODEL_LABELS)
    replies = (words.OPENING, words.PUZZLED, words.THANKS)
    asked = (words.question(attribute) for attribute in ATTRIBUTES)
    values = (value for pair in ATTRIBUTES.values() for value in pair)
    recommended = (words.recommendation(strategy) for strategy in STRATEGIES)
    texts = [*prompts, *roles, *replies, *asked, *values, *recommended, *words.SMALL_TALK]
    return list(dict.fromkeys([*SPECIAL, *(word for text in texts for word in text.split())]))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer: lower-case words, each punctuation mark a word of its own.

    White space only separates, and punctuation never merges, so a text tokenised in pieces that
    are cut at white space or at a special token equals the text tokenised whole.
    """
    ids = {word: index for index, word in enumerate(vocabulary())}
    backend = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=list(SPECIAL[3:]),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


class DialogueEncoder:
    """Encodes dialogues with the marks of the tokenizer's own chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.vocabulary_size = len(tokenizer)
        self.end = int(tokenizer.eos_token_id)
        self._chat_format = ChatFormat(tokenizer, "the pocket tokenizer")
        self._reading_format = lru_cache(CACHED_TEXTS)(self._find_reading_format)
        self._utterance = lru_cache(CACHED_TEXTS)(self._encode_utterance)
        self.text = lru_cache(CACHED_TEXTS)(self._encode)
        self._marks = lru_cache(CACHED_TEXTS)(self._find_marks)
        whole = self._template("user", add_generation_prompt=True)
        after = whole.removeprefix(self._template("user"))
        self.generation_prompt = self._chat_format.encode_template(after)

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

    def _encode_utterance(self, prompt: ReadingPrompt, speaker: Speaker, text: str) -> list[int]:
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
        encode = self._chat_format.encode_template
        return tuple(encode(before)), tuple(encode(after))
