"""What each role's model is to learn, and how well it does on conversations it has not seen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from curio_ray.supervised.batches import Group, by_length, collate, to_device
from curio_ray.supervised.losses import (
    bradley_terry_loss,
    label_log_probs,
    label_mass_loss,
    token_losses,
    verdict_scores,
    weighted_mean,
)

Batch = Mapping[str, torch.Tensor]


class Objective(ABC):
    """A loss on batches of example groups, and measures of a model on such groups.

    `context_weight` is the weight of the next-token loss on what the role does not say itself.
    """

    def __init__(self, context_weight: float) -> None:
        self.context_weight = context_weight

    def collate(self, groups: Sequence[Group]) -> dict[str, torch.Tensor]:
        """The tensors of a training batch."""
        return collate(groups, self.context_weight)

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, a scalar with a gradient."""

    @abstractmethod
    def measure(self, model: Any, groups: Sequence[Group], batch_size: int) -> dict[str, Any]:
        """Figures of the model on the groups, as plain values; the groups are not empty."""


class OwnWords(Objective):
    """Policy and environment: the next-token loss on the role's own words."""

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """The weighted mean over tokens."""
        losses = token_losses(_logits(model, batch), batch["input_ids"])
        return weighted_mean(losses, batch["weights"][:, 1:])

    def measure(self, model: Any, groups: Sequence[Group], batch_size: int) -> dict[str, Any]:
        """`loss` in nats per own token, `perplexity`, and how many own `tokens` there are."""
        total = tokens = 0.0
        for _, batch in _held_out(model, groups, batch_size):
            losses = token_losses(_logits(model, batch), batch["input_ids"])
            weights = batch["weights"][:, 1:]
            total += float((losses * weights).sum())
            tokens += float(weights.sum())
        loss = total / tokens
        return {"loss": loss, "perplexity": math.exp(loss), "tokens": int(tokens)}


class _Reading(Objective):
    """A model that answers with a label; the context is read along with `context_weight`."""

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """The loss of the answers and of the labels' mass, plus the context's by its weight."""
        if not self.context_weight:
            return self._reading_loss(_last_logits(model, batch), batch)
        logits = _logits(model, batch)
        last = logits[torch.arange(len(logits), device=logits.device), batch["last"]]
        context = weighted_mean(token_losses(logits, batch["input_ids"]), batch["weights"][:, 1:])
        return self._reading_loss(last, batch) + self.context_weight * context

    def _reading_loss(self, last: torch.Tensor, batch: Batch) -> torch.Tensor:
        answers = self.answer_loss(label_log_probs(last, batch["label_ids"]), batch)
        return answers + label_mass_loss(last, batch["label_ids"])

    @abstractmethod
    def answer_loss(self, log_probs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean loss of label log-probabilities [B, labels]."""


class UserTypes(_Reading):
    """User model: the cross-entropy of the user's type, as the belief gives it."""

    def answer_loss(self, log_probs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean negative log-belief in the true types, nats."""
        return -log_probs.gather(1, batch["label"][:, None]).mean()

    def measure(self, model: Any, groups: Sequence[Group], batch_size: int) -> dict[str, Any]:
        """`loss` in nats, `accuracy` and `belief` in the true type.

        `accuracy_by_turn` and `belief_by_turn` begin before the first exchange;
        `conversations_by_turn` tells how many were that long.
        """
        belief, right = np.zeros(len(groups)), np.zeros(len(groups))
        for indices, batch in _held_out(model, groups, batch_size):
            log_probs, label = _label_log_probs(model, batch), batch["label"]
            chosen = log_probs.gather(1, label[:, None])[:, 0]
            belief[indices] = chosen.exp().cpu().numpy()
            right[indices] = (log_probs.argmax(dim=1) == label).cpu().numpy()
        exchanges = np.array([example.exchanges for (example,) in groups])
        turns = [exchanges == turn for turn in range(exchanges.max() + 1)]
        return {
            "loss": float(-np.log(belief.clip(min=1e-30)).mean()),
            "accuracy": float(right.mean()),
            "belief": float(belief.mean()),
            "accuracy_by_turn": [float(right[turn].mean()) for turn in turns if turn.any()],
            "belief_by_turn": [float(belief[turn].mean()) for turn in turns if turn.any()],
            "conversations_by_turn": [int(turn.sum()) for turn in turns if turn.any()],
        }


class Preferences(_Reading):
    """Reward model: Bradley–Terry on groups of two, the better conversation first."""

    def answer_loss(self, log_probs: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The Bradley–Terry loss of the batch's pairs."""
        scores = verdict_scores(log_probs)
        return bradley_terry_loss(scores[0::2], scores[1::2])

    def measure(self, model: Any, groups: Sequence[Group], batch_size: int) -> dict[str, Any]:
        """`loss` (without the pull to the centre) and `pair_accuracy` over so many `pairs`.

        `verdict_better` and `verdict_worse` are the mean verdicts, as served.
        """
        scores = np.zeros((len(groups), 2))
        for indices, batch in _held_out(model, groups, max(batch_size // 2, 1)):
            read = verdict_scores(_label_log_probs(model, batch))
            scores[indices] = read.reshape(-1, 2).cpu().numpy()
        margins = scores[:, 0] - scores[:, 1]
        verdicts = 1 / (1 + np.exp(-scores))
        return {
            "loss": float(np.logaddexp(0, -margins).mean()),
            "pair_accuracy": float((margins > 0).mean()),
            "pairs": len(groups),
            "verdict_better": float(verdicts[:, 0].mean()),
            "verdict_worse": float(verdicts[:, 1].mean()),
        }


def _held_out(model: Any, groups: Sequence[Group], batch_size: int) -> Any:
    """Batches on the model's device with the indices of their groups; without gradients."""
    model.eval()
    with torch.no_grad():
        for indices in by_length(groups, batch_size):
            batch = collate([groups[index] for index in indices], context_weight=0.0)
            yield indices, to_device(batch, model.device)


def _logits(model: Any, batch: Batch) -> torch.Tensor:
    """After every token, [B, N, vocabulary]."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits


def _label_log_probs(model: Any, batch: Batch) -> torch.Tensor:
    """After the last token, over the labels, [B, labels]."""
    return label_log_probs(_last_logits(model, batch), batch["label_ids"])


def _last_logits(model: Any, batch: Batch) -> torch.Tensor:
    """After the last token, [B, vocabulary]."""
    places, rows = torch.unique(batch["last"], return_inverse=True)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = model(**inputs, use_cache=False, logits_to_keep=places).logits
    last: torch.Tensor = logits[torch.arange(len(logits), device=logits.device), rows]
    return last
