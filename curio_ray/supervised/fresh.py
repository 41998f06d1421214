"""A small model from nothing: a byte-level BPE tokenizer and a Llama with random weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curio_ray.config.supervised import FreshModelConfig
from curio_ray.tasks.base import Task

PAD, END = "<|pad|>", "<|end|>"
SPECIAL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def fresh_tokenizer(task: Task, config: FreshModelConfig) -> PreTrainedTokenizerFast:
    """A tokenizer trained on all words of the training split; the same for the same task."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(training_texts(task), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=config.context,
    )


def fresh_model(
    tokenizer: PreTrainedTokenizerFast, config: FreshModelConfig, seed: int
) -> LlamaForCausalLM:
    """A randomly initialised float32 model with the tokenizer's vocabulary."""
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=3 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        # Wider than the usual 0.02, which is made for wide models.
        initializer_range=0.7 / config.width**0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(shape)


def training_texts(task: Task) -> Iterator[str]:
    """Every utterance of the training split once, and every prompt that goes with it."""
    reading = task.user_model_prompt()
    yield from (reading.instruction, reading.question, *reading.labels)
    prompts: Iterable[str] = (
        text
        for each in task.demonstrations("train")
        for text in (
            task.environment_prompt(each.user),
            task.reward_model_prompt(each.user).instruction,
            task.reward_model_prompt(each.user).question,
            *(message.content for message in task.policy_prompt(each.user)),
        )
    )
    yield from dict.fromkeys(prompts)
    for each in task.demonstrations("train"):
        yield from each.utterances
