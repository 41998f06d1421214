"""The whole loss of a minibatch, with each kind of policy loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import ConfigError, LearnerError
from curio_ray.learner.losses import LOSSES, Counts, Objective, PolicyLoss
from curio_ray.learner.metrics import Mean, MetricSums
from curio_ray.learner.packing import PackedTensors, pack_tensors
from curio_ray.learner.sequences import TrainingSequence

MakeSequences = Callable[..., list[TrainingSequence]]
CPU = torch.device("cpu")
KINDS: dict[str, dict[str, Any]] = {
    "reinforce": {"name": "reinforce"},
    "ppo": {"name": "ppo", "dual_clip": 1.5},
    "gspo": {"name": "gspo", "clip_low": 0.1, "clip_high": 0.1},
    "custom": {"name": "custom", "function": "masked_loss:masked", "options": {"low": 0.8}},
}
EXAMPLE = Path(__file__).parents[2] / "docs" / "extend" / "examples" / "masked_loss.py"


@pytest.fixture(autouse=True)
def example_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE.parent)


def objective_of(**loss: Any) -> Objective:
    return Objective(LearnerConfig(loss=loss))


def moved_log_probs(sequence: TrainingSequence, seed: int) -> torch.Tensor:
    """What another policy says of the sampled tokens, near what the sampling one said."""
    moves = np.random.default_rng(seed).normal(0, 0.5, sequence.policy_tokens)
    behaviour = sequence.behaviour_log_probs[sequence.action_mask]
    return torch.from_numpy((behaviour + moves).astype(np.float32))


def minibatch(
    objective: Objective, sequences: list[TrainingSequence], packs: list[list[int]]
) -> tuple[float, torch.Tensor, dict[str, float]]:
    """Loss, gradient by token in the order of `sequences`, and figures of all packs together."""
    leaves = [moved_log_probs(s, i).requires_grad_() for i, s in enumerate(sequences)]
    total, sums = torch.zeros(()), MetricSums()
    nothing = torch.zeros(0, requires_grad=True)
    for pack in packs:
        tensors = pack_tensors([sequences[index] for index in pack], CPU)
        log_probs = torch.cat([nothing, *(leaves[index] for index in pack)])
        values = torch.zeros(len(tensors.value_rows))
        loss, figures = objective(tensors, log_probs, values, Counts.of(sequences), 0.01)
        total = total + loss
        sums.add(figures)
    gradient = torch.cat(torch.autograd.grad(total, leaves))
    return total.item(), gradient, sums.over_ranks(CPU)


@pytest.mark.parametrize("kind", KINDS)
def test_packing_changes_neither_loss_nor_gradient_nor_figures(
    process_group: None, make_sequences: MakeSequences, kind: str
) -> None:
    sequences, objective = make_sequences(6), objective_of(**KINDS[kind])
    loss, gradient, figures = minibatch(objective, sequences, [[0, 1, 2, 3, 4, 5]])
    packed = minibatch(objective, sequences, [[5], [], [3, 0, 4], [1, 2]])
    assert packed[0] == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(packed[1], gradient)
    assert packed[2] == pytest.approx(figures, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_of_padding_brings_the_names_of_every_other(
    make_sequences: MakeSequences, kind: str
) -> None:
    objective, names = objective_of(**KINDS[kind]), []
    for sequences in (make_sequences(2), []):
        pack = pack_tensors(sequences, CPU)
        log_probs = pack.behaviour_log_probs.clone().requires_grad_()
        values = torch.zeros(len(pack.value_rows))
        loss, figures = objective(pack, log_probs, values, Counts(tokens=1, turns=1), 0.01)
        names.append(list(figures))
    assert names[0] == names[1]
    assert loss.item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_some_of_the_figures_tell_that_the_loss_clips(
    process_group: None, make_sequences: MakeSequences, kind: str
) -> None:
    """The other tests of this file would show little if nothing were clipped."""
    objective = objective_of(**KINDS[kind])
    *_, figures = minibatch(objective, make_sequences(6), [[0, 1, 2, 3, 4, 5]])
    share = figures["masked_share" if kind == "custom" else "clipped_share"]
    assert 0 < share < 1


def test_every_loss_of_the_registry_is_tested_here() -> None:
    assert set(LOSSES) | {"custom"} == set(KINDS)


def returned(loss: Any, make_sequences: MakeSequences, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an objective makes of a loss function that returns this."""
    monkeypatch.setitem(LOSSES, "reinforce", lambda pack, log_probs, **options: loss(log_probs))
    pack = pack_tensors(make_sequences(1), CPU)
    log_probs = pack.behaviour_log_probs.clone().requires_grad_()
    values = torch.zeros(len(pack.value_rows))
    objective_of(name="reinforce")(pack, log_probs, values, Counts(1, 1), 0.01)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda log_probs: log_probs.sum(), "it returned a Tensor; return a .*PolicyLoss"),
        (lambda log_probs: PolicyLoss(-log_probs), "one sum over the log_probs"),
        (lambda log_probs: PolicyLoss(torch.zeros(())), "one sum over the log_probs"),
        (lambda log_probs: PolicyLoss(log_probs.sum(), "dialogue"), "write token or turn"),
        (
            lambda log_probs: PolicyLoss(log_probs.sum(), "turn", {"kl": Mean.of(log_probs)}),
            "kl is the name of another figure",
        ),
    ],
)
def test_a_loss_that_returns_what_cannot_be_learned_from_is_told_what_to_return(
    make_sequences: MakeSequences, monkeypatch: pytest.MonkeyPatch, loss: Any, message: str
) -> None:
    with pytest.raises(LearnerError, match=rf"learner\.loss.*{message}"):
        returned(loss, make_sequences, monkeypatch)


def test_a_function_that_cannot_be_imported_is_named_by_its_field() -> None:
    with pytest.raises(ConfigError, match=r"learner\.loss\.function: 'no_such_module:loss'"):
        objective_of(name="custom", function="no_such_module:loss")


def test_the_turns_and_dialogues_of_actions_are_those_of_their_sequences(
    make_sequences: MakeSequences,
) -> None:
    sequences = make_sequences(3)
    pack: PackedTensors = pack_tensors(sequences, CPU)
    dialogues = pack.turn_dialogues[pack.action_turns].tolist()
    assert dialogues == [i for i, s in enumerate(sequences) for _ in range(s.policy_tokens)]
    # An action's turn is the last whose state was read before the action.
    assert bool((pack.value_rows[pack.action_turns] <= pack.action_rows).all())
    following = pack.action_turns + 1
    inside = following < len(pack.value_rows)
    later = pack.value_rows[following.clamp(max=len(pack.value_rows) - 1)]
    assert bool((later > pack.action_rows)[inside].all())
