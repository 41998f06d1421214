"""What the learner sees of a dialogue: token ids, who chose them, and their credit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curio_ray.dialogue import Dialogue
from curio_ray.errors import LearnerError


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One dialogue of L tokens and T policy turns.

    `token_ids` int32[L]; `action_mask` bool[L], true where the policy sampled the token and it is
    learned from;
    `behaviour_log_probs` float32[L], natural logarithm under the policy that sampled;
    `value_positions` int64[T], the token before each policy turn: its hidden state is the state
    acted from; `advantages` float32[L] and `value_targets` float32[T], both 0 until credit;
    `reference_log_probs` float32[L] of the frozen start policy, None until scored; `fresh` bool[L],
    true where the learner's present weights sampled the token, None where nobody knows.
    Arrays of length L are 0 off the policy's tokens.

    Raises:
        LearnerError: shapes disagree, a turn has no state before it, or there is no turn.
    """

    token_ids: np.ndarray
    action_mask: np.ndarray
    behaviour_log_probs: np.ndarray
    value_positions: np.ndarray
    advantages: np.ndarray
    value_targets: np.ndarray
    reference_log_probs: np.ndarray | None = None
    fresh: np.ndarray | None = None

    def __post_init__(self) -> None:
        length, turns = (len(self.token_ids),), (len(self.value_positions),)
        for name, expected in (
            ("action_mask", length),
            ("behaviour_log_probs", length),
            ("advantages", length),
            ("value_targets", turns),
            ("reference_log_probs", length),
            ("fresh", length),
        ):
            array = getattr(self, name)
            if array is not None and array.shape != expected:
                raise LearnerError(f"{name} has shape {array.shape}; it must be {expected}")
        if self.action_mask.dtype != np.bool_:
            raise LearnerError(f"action_mask is {self.action_mask.dtype}; it must be bool")
        starts = turn_starts(self.action_mask)
        if not turns[0]:
            raise LearnerError("value_positions is empty; a sequence needs a policy turn")
        if not np.all(np.isin(starts, self.value_positions + 1)):
            raise LearnerError(
                f"policy turns start at tokens {starts.tolist()}; value_positions must hold the "
                f"token before each of them, not {self.value_positions.tolist()}"
            )
        if self.value_positions.min() < 0:
            raise LearnerError("the first token is the policy's; a prompt token must precede it")

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def policy_tokens(self) -> int:
        """How many tokens the policy sampled."""
        return int(self.action_mask.sum())

    def turns_of(self, tokens: np.ndarray) -> np.ndarray:
        """The policy turn of each of the policy's tokens, int64, from their indices."""
        return np.searchsorted(self.value_positions, tokens, side="left") - 1


@dataclass(frozen=True, slots=True)
class SequenceScore:
    """What one pass of the learner says of a sequence of L tokens and T policy turns.

    `log_probs` and `reference_log_probs` are float32[L], 0 off the policy's tokens; `values` is
    float32[T], read at the states acted from.
    """

    log_probs: np.ndarray
    reference_log_probs: np.ndarray
    values: np.ndarray


def turn_starts(action_mask: np.ndarray) -> np.ndarray:
    """Indices where a run of sampled tokens begins. Turns that touch count as one."""
    before = np.concatenate([[False], action_mask[:-1]])
    return np.flatnonzero(action_mask & ~before)


def sequence_from_dialogue(
    dialogue: Dialogue, version: int, mask_truncated: bool = False
) -> TrainingSequence:
    """The training sequence of a finished dialogue, without credit.

    Args:
        dialogue: with one or more policy turns.
        version: of the learner's present weights.
        mask_truncated: whether turns that were cut off are read like a prompt, so that nothing is
            learned from their own tokens. They keep their value and their place in credit.
    """
    token_ids = np.asarray(dialogue.token_ids, dtype=np.int32)
    spans = dialogue.policy_spans()
    action_mask = np.zeros(len(token_ids), dtype=bool)
    behaviour = np.zeros(len(token_ids), dtype=np.float32)
    fresh = np.zeros(len(token_ids), dtype=bool)
    for (start, end), turn in zip(spans, dialogue.policy_turns, strict=True):
        if mask_truncated and turn.truncated:
            continue
        action_mask[start:end] = True
        behaviour[start:end] = turn.log_probs
        fresh[start:end] = np.asarray(turn.weight_versions) == version
    return TrainingSequence(
        token_ids=token_ids,
        action_mask=action_mask,
        behaviour_log_probs=behaviour,
        value_positions=np.asarray([start - 1 for start, _ in spans], dtype=np.int64),
        advantages=np.zeros(len(token_ids), dtype=np.float32),
        value_targets=np.zeros(len(spans), dtype=np.float32),
        fresh=fresh,
    )


def with_credit(
    sequence: TrainingSequence,
    turn_advantages: np.ndarray,
    value_targets: np.ndarray,
) -> TrainingSequence:
    """The sequence with its credit: every token of turn t carries `turn_advantages[t]`.

    The log-probability of a turn is the sum of its tokens', so this is the policy gradient of the
    turn as one action. `turn_advantages` and `value_targets` are [T].
    """
    boundaries = np.append(sequence.value_positions, len(sequence))
    if len(turn_advantages) != len(sequence.value_positions):
        raise LearnerError(
            f"{len(turn_advantages)} advantages for {len(sequence.value_positions)} policy turns"
        )
    spread = np.zeros(len(sequence), dtype=np.float32)
    for start, end, advantage in zip(
        boundaries[:-1] + 1, boundaries[1:] + 1, turn_advantages, strict=True
    ):
        spread[start:end] = advantage
    return replace(
        sequence,
        advantages=np.where(sequence.action_mask, spread, np.float32(0)),
        value_targets=np.asarray(value_targets, dtype=np.float32),
    )


def with_references(
    sequences: Sequence[TrainingSequence], scores: Sequence[SequenceScore]
) -> list[TrainingSequence]:
    """The sequences with the start policy's log-probs, which the update then need not compute."""
    return [
        replace(sequence, reference_log_probs=score.reference_log_probs)
        for sequence, score in zip(sequences, scores, strict=True)
    ]


def log_prob_differences(
    sequences: Sequence[TrainingSequence], scores: Sequence[SequenceScore]
) -> dict[str, float]:
    """How far servers and learner are apart: |Δ log-prob| in nats over the fresh tokens.

    Where both hold the same weights, anything but rounding is a fault. Empty without such tokens.
    """
    gaps = np.concatenate(
        [
            np.abs(score.log_probs - sequence.behaviour_log_probs)[sequence.fresh]
            for sequence, score in zip(sequences, scores, strict=True)
            if sequence.fresh is not None
        ]
        or [np.zeros(0)]
    )
    if not len(gaps):
        return {}
    return {
        "log_prob_difference_max": float(gaps.max()),
        "log_prob_difference_mean": float(gaps.mean()),
    }


def check_finite(sequences: Sequence[TrainingSequence]) -> None:
    """Refuse numbers that would spoil the weights.

    Raises:
        LearnerError: naming the first sequence and its field that is not finite.
    """
    fields = ("behaviour_log_probs", "advantages", "value_targets", "reference_log_probs")
    for index, sequence in enumerate(sequences):
        for name in fields:
            array = getattr(sequence, name)
            if array is not None and not np.all(np.isfinite(array)):
                raise LearnerError(
                    f"dialogue {index} of the batch: {name} holds a value that is not finite; "
                    "leave that dialogue out or mend its rewards"
                )
