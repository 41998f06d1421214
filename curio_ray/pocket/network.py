"""The shape and the tokenizer of all pocket models."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curio_ray.tasks.exercise import words
from curio_ray.tasks.exercise.rule import ATTRIBUTES, STRATEGIES


def build_network(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A randomly initialised float32 model with the tokenizer's vocabulary."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # Three times the usual 0.02: at this width look-ups are then learned many times sooner.
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config)


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
