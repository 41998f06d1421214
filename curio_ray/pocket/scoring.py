"""Reading a network's distributions, and comparing them with the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlamaForCausalLM

from curio_ray.pocket.examples import Example, collate
from curio_ray.pocket.train import target_logits

CHUNK = 64


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


@torch.inference_mode()
def target_logits_of(network: LlamaForCausalLM, examples: Sequence[Example]) -> np.ndarray:
    """Logits [targets, vocabulary] of all examples, in their order."""
    chunks = [examples[start : start + CHUNK] for start in range(0, len(examples), CHUNK)]
    return torch.cat([target_logits(network, collate(chunk)) for chunk in chunks]).numpy()
