"""What travels between rollout workers and model servers: token ids in, token ids out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One continuation to sample, or one distribution over labels to read.

    With `label_ids` set no text is generated: the answer is the log-probabilities of exactly
    those ids at the next position. `seed` makes the sampling of this request repeatable.
    """

    prompt_ids: list[int]
    max_tokens: int = 1
    temperature: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    label_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """The answer to a `GenerateRequest`.

    `token_ids` includes the stop token where one was sampled. `log_probs` and `weight_versions`
    have one entry per token. `label_log_probs` is set for label requests only, in the order asked,
    not renormalised. `cached_tokens` counts prompt tokens served from the prefix cache.
    """

    token_ids: list[int]
    log_probs: list[float]
    weight_versions: list[int]
    label_log_probs: list[float] | None = None
    cached_tokens: int = 0
