"""The pocket networks: their shape, and what they say after a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curio_ray.pocket.examples import Batch, Example, collate

CHUNK = 64


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


def target_logits(network: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Logits [targets, vocabulary] at the positions that have targets."""
    hidden = network.model(input_ids=batch.token_ids, use_cache=False).last_hidden_state
    return network.lm_head(hidden[batch.rows, batch.positions])


@torch.inference_mode()
def target_logits_of(network: LlamaForCausalLM, examples: Sequence[Example]) -> np.ndarray:
    """Logits [targets, vocabulary] of all examples, in their order."""
    chunks = [examples[start : start + CHUNK] for start in range(0, len(examples), CHUNK)]
    return torch.cat([target_logits(network, collate(chunk)) for chunk in chunks]).numpy()


def label_distribution(
    network: LlamaForCausalLM, examples: Sequence[Example], labels: Sequence[int]
) -> np.ndarray:
    """Distributions [examples, labels] after each example's one position: renormalised."""
    chosen = target_logits_of(network, examples)[:, list(labels)].astype(np.float64)
    weights = np.exp(chosen - chosen.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def calibration_error(confidences: np.ndarray, hits: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over equal-width bins."""
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = [
        abs(confidences[bin_of == index].mean() - hits[bin_of == index].mean())
        * (bin_of == index).mean()
        for index in range(bins)
        if (bin_of == index).any()
    ]
    return float(sum(gaps))


def exact_reply_share(network: LlamaForCausalLM, examples: Sequence[Example], end: int) -> float:
    """The share of replies that greedy decoding gets right word for word.

    A reply is a run of targets that closes with the token `end`. Given the true words before it,
    greedy decoding writes the true reply exactly if every one of its tokens is the likeliest.
    """
    likeliest = target_logits_of(network, examples).argmax(-1)
    wanted = np.array([target.argmax() for example in examples for target in example.targets])
    replies = np.cumsum(wanted == end) - (wanted == end)
    wrong = np.bincount(replies, weights=likeliest != wanted)
    return float((wrong == 0).mean())
