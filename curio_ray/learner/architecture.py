"""Whether the learner repeats an architecture: packed dialogues, attention, output head.

A model can hide state that passes from one token to the next outside attention, or change scores
and logits in a way that packed attention and the chunked head leave out. Both give wrong
log-probabilities without an error, so one small pack is compared with transformers' own eager pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from curio_ray.architectures import (
    ATTENTION,
    HEAD,
    NOT_REPLACED,
    not_repeated,
    sees_other_dialogues,
)
from curio_ray.errors import LearnerError
from curio_ray.learner.attention import PACKED_ATTENTION, attention_calls
from curio_ray.learner.model import PackReader
from curio_ray.learner.packing import PackedTensors, pack_tensors
from curio_ray.learner.sequences import TrainingSequence

EXACT_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Nats by which a token's log-probability may differ between two packs: the same sums."""
EAGER_TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.3}
"""Mean nats by which a pass may differ from the eager one: other sums in the model's type."""

LARGEST_FIRST_KL = 1e-3
"""Nats per token by which rounding may part the policy and its start at the first step."""

_WHOLE, _BEGINNING = 12, 9

Forward = Callable[[PackedTensors], torch.Tensor]


@torch.no_grad()
def check_architecture(forward: Forward, reader: PackReader, several: bool) -> None:
    """Compare packs of one dialogue with each other and with eager attention.

    The dialogue comes twice, and its beginning once, so that a token that sees another dialogue
    or a later token shows. Under ZeRO-3 a collective. The model's attention is the packed one
    afterwards.

    Args:
        forward: from a pack to the log-probabilities float32[A] of its actions.
        reader: the module behind `forward`.
        several: whether a pack may hold more than one dialogue.

    Raises:
        LearnerError: they differ; the message names the architecture and what it does.
    """
    name, dtype = type(reader.language_model).__name__, reader.language_model.dtype
    whole = _dialogue(reader)
    beginning = _of_ids(whole.token_ids[:_BEGINNING])
    packs = [[whole, beginning, whole]] if several else [[whole], [beginning], [whole]]
    first, start, last = _read(forward, reader, packs)
    if not _gap(last, first) < EXACT_TOLERANCE[dtype]:
        raise LearnerError(sees_other_dialogues(name))
    if not _gap(start, first[: len(start)]) < EXACT_TOLERANCE[dtype]:
        raise LearnerError(not_repeated(name, NOT_REPLACED))
    hidden, log_probs = _eager(reader, whole)
    difference = float((first - log_probs).abs().mean())
    if not difference < EAGER_TOLERANCE[dtype]:
        ids = _ids(whole, log_probs.device)[1:]
        own = reader.log_prob_head(hidden, ids)
        by_head = float((own - log_probs).abs().mean()) >= EAGER_TOLERANCE[dtype]
        problem = not_repeated(name, HEAD if by_head else ATTENTION)
        raise LearnerError(f"{problem} (log-probabilities are off by {difference:.2g} in the mean)")


def check_first_step(metrics: Mapping[str, float]) -> None:
    """Compare the policy at its first step with the start policy, which it must still be.

    Args:
        metrics: of the first minibatch, of all ranks together.

    Raises:
        LearnerError: their KL divergence is not 0 but for rounding.
    """
    divergence = metrics.get("kl", 0.0)
    if not divergence <= LARGEST_FIRST_KL:
        raise LearnerError(
            f"the first step has a KL divergence of {divergence:.2g} to the start policy, which is "
            "the policy itself: weights of the two differ; look for tensors that the model's "
            "folder lacks, or for parts of it that draw at random"
        )


def _read(
    forward: Forward, reader: PackReader, packs: Sequence[Sequence[TrainingSequence]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of the whole dialogue, of its beginning, and of the whole once more."""
    device = reader.log_prob_head.weight.device
    name = type(reader.language_model).__name__
    try:
        with attention_calls() as calls:
            parts = [forward(pack_tensors(pack, device)) for pack in packs]
    except (AttributeError, KeyError, TypeError) as error:
        raise LearnerError(f"{not_repeated(name, NOT_REPLACED)} ({error})") from error
    if not calls:
        raise LearnerError(not_repeated(name, NOT_REPLACED))
    log_probs = torch.cat(parts)
    whole, beginning = _WHOLE - 1, _BEGINNING - 1
    return log_probs[:whole], log_probs[whole:][:beginning], log_probs[-whole:]


def _eager(reader: PackReader, dialogue: TrainingSequence) -> tuple[torch.Tensor, torch.Tensor]:
    """Last hidden states [L - 1, width] and log-probabilities float32[L - 1] of transformers."""
    model, head = reader.language_model, reader.log_prob_head
    ids = _ids(dialogue, head.weight.device)
    model.set_attn_implementation("eager")
    try:
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        hidden = model.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0, :-1]
    finally:
        model.set_attn_implementation(PACKED_ATTENTION)
    for start, end in head.unknown:
        logits[:, start:end] = -torch.inf
    log_probs = (logits / head.temperature).log_softmax(-1)
    return hidden, log_probs.gather(1, ids[1:, None])[:, 0]


def _gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def _ids(dialogue: TrainingSequence, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(dialogue.token_ids.astype(np.int64)).to(device)


def _dialogue(reader: PackReader) -> TrainingSequence:
    """Random ids that can be sampled, the same in every process."""
    known = np.ones(reader.language_model.config.get_text_config().vocab_size, dtype=bool)
    for start, end in reader.log_prob_head.unknown:
        known[start:end] = False
    ids = np.random.default_rng(0).choice(np.flatnonzero(known), _WHOLE)
    return _of_ids(ids.astype(np.int32))


def _of_ids(token_ids: np.ndarray) -> TrainingSequence:
    """A dialogue all of whose ids but the first were sampled."""
    zeros = np.zeros(len(token_ids), dtype=np.float32)
    return TrainingSequence(
        token_ids=token_ids,
        action_mask=np.arange(len(token_ids)) > 0,
        behaviour_log_probs=zeros,
        value_positions=np.zeros(1, dtype=np.int64),
        advantages=zeros,
        value_targets=np.zeros(1, dtype=np.float32),
    )
