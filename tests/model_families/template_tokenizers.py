"""Small tokenizers that know the control tokens of a family's chat template."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEMPLATES = Path(__file__).parent / "templates"

CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
THINK = ("<think>", "</think>")
CONTROL: dict[str, tuple[str, ...]] = {
    "gemma2": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "gemma3": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "qwen2_5": CHATML,
    "qwen3": CHATML,
    "llama2": ("<s>", "</s>"),
    "llama3": (
        "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    ),
    "mistral": ("<s>", "</s>", "[INST]", "[/INST]"),
    "mistral_v0_3": ("<s>", "</s>", "[INST]", "[/INST]"),
    "smollm2": CHATML,
    "smollm3": CHATML,
    "phi": ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "lfm2": ("<|startoftext|>", "<|im_end|>", "<|im_start|>"),
    "gpt_oss": ("<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>"),
    "r1_distill": (
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
    ),
}  # fmt: skip
BOS = {
    "gemma2": "<bos>", "gemma3": "<bos>", "llama2": "<s>", "llama3": "<|begin_of_text|>",
    "mistral": "<s>", "mistral_v0_3": "<s>", "lfm2": "<|startoftext|>",
    "r1_distill": "<｜begin▁of▁sentence｜>",
}  # fmt: skip
EOS = {
    "gemma2": "<eos>", "gemma3": "<eos>", "llama2": "</s>", "llama3": "<|eot_id|>",
    "mistral": "</s>", "mistral_v0_3": "</s>", "phi": "<|end|>", "gpt_oss": "<|return|>",
    "r1_distill": "<｜end▁of▁sentence｜>",
}  # fmt: skip
THINKING = ("qwen3", "smollm3", "r1_distill")
# Their tokenizers take white space into the words that follow it.
SENTENCEPIECE = ("gemma2", "gemma3", "llama2", "mistral", "mistral_v0_3")
# How the others split text ahead of byte-pair encoding: three digits at most, and punctuation
# with the line breaks behind it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = (
    "user assistant model system advisor student : hello there , what do you like ? yes no . "
    "yes\nno\n A B C D Yes No answer with one word\n\nthe learner says: good [INST] [/INST] "
) * 4


@cache
def template_of(family: str) -> str:
    """The text of a family's template."""
    return (TEMPLATES / f"{family}.jinja").read_text()


def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
    """A tokenizer in the manner of a family, with the family's template."""
    control = [*CONTROL[family], *(THINK if family in THINKING else ())]
    backend = _sentencepiece(family) if family in SENTENCEPIECE else _byte_level()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS.get(family),
        eos_token=EOS.get(family, "<|im_end|>"),
        additional_special_tokens=list(CONTROL[family]),
        chat_template=template_of(family),
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([each for each in control if each in THINK])
    return tokenizer


def _byte_level() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    backend.train_from_iterator([WORDS], trainer)
    return backend


def _sentencepiece(family: str) -> Tokenizer:
    learned = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=500, show_progress=False, min_frequency=1)
    learned.train_from_iterator([f"▁{word}" for word in WORDS.split()], trainer)
    model = json.loads(learned.to_str())["model"]
    words = [*model["vocab"], *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {word: number for number, word in enumerate(words)}
    merges = [tuple(pair) for pair in model["merges"]]
    backend = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True))
    if family.startswith("mistral"):
        # a text begins with a space, but not what follows a special token
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        # Gemma's adds no space at all, Llama's one to every part between special tokens
        prepend = [] if family.startswith("gemma") else [normalizers.Prepend("▁")]
        backend.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend
