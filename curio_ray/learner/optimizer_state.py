"""What AdamW knows of every trained parameter, as flat pieces that a rank holds.

ZeRO lays parameters out differently by stage and number of ranks. Named and with the place where
it starts, a piece of a parameter means the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from curio_ray.learner.engine import LearnerEngine

MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = ("weight", *MOMENTS)


@dataclass(frozen=True, slots=True)
class Piece:
    """The elements from `start` on of the flattened parameter `name`, as this rank holds them.

    `tensors` are float32[n] by kind: the weight as the optimizer has it, and AdamW's moments.
    Writing to them writes to the optimizer.
    """

    name: str
    start: int
    tensors: dict[str, torch.Tensor]


def local_pieces(engine: LearnerEngine) -> Iterator[Piece]:
    """This rank's pieces. Together the ranks' pieces cover every trained parameter.

    At stage 0 every rank holds everything.
    """
    _ensure_moments(engine)
    for name, parameter in engine.deepspeed.module.named_parameters():
        if not parameter.requires_grad:
            continue
        if engine.config.zero_stage == 0:
            state = engine.optimizer.state[parameter]
            whole = {"weight": parameter, **{kind: state[kind] for kind in MOMENTS}}
            yield _piece(name, 0, {kind: tensor.view(-1) for kind, tensor in whole.items()})
        elif engine.config.zero_stage == 3:
            yield _stage_3_piece(engine, name, parameter)
        elif parameter._hp_mapping is not None:
            yield _stage_1_or_2_piece(engine, name, parameter._hp_mapping)


def set_steps(engine: LearnerEngine, steps: int) -> None:
    """Tell AdamW how many steps it has taken."""
    _ensure_moments(engine)
    optimizer = _adamw(engine)
    for flat in _optimized(engine):
        optimizer.state[flat]["step"].fill_(steps)


@torch.no_grad()
def spread_weights(engine: LearnerEngine) -> None:
    """Give the model on every rank the weights that the optimizers hold. A collective."""
    if engine.config.zero_stage in (1, 2):
        engine.optimizer.update_lp_params()
    elif engine.config.zero_stage == 3:
        # Small parameters stay gathered between steps; now they have to be gathered anew.
        engine.optimizer.checkpoint_event_prologue()
        parameters = dict(engine.deepspeed.module.named_parameters())
        for piece in local_pieces(engine):
            held = piece.tensors["weight"]
            parameters[piece.name].ds_tensor[: len(held)].copy_(held)
        engine.optimizer.checkpoint_event_epilogue()


def _stage_1_or_2_piece(engine: LearnerEngine, name: str, mapping: Any) -> Piece:
    place = mapping.get_hp_fragment_address()
    flat = _optimized(engine)[mapping.param_group_index]
    state = _adamw(engine).state[flat]
    moments = {kind: state[kind].narrow(0, place.start, place.numel) for kind in MOMENTS}
    tensors = {"weight": mapping.get_hp_fragment(), **moments}
    return _piece(name, mapping.lp_fragment_address.start, tensors)


def _stage_3_piece(engine: LearnerEngine, name: str, parameter: Any) -> Piece:
    """Every rank has an equal share of every parameter; the last ones may be padded or empty."""
    share = parameter.ds_tensor.ds_numel
    start = min(engine.rank * share, parameter.ds_numel)
    count = min(share, parameter.ds_numel - start)
    keys = {"weight": None, **{kind: kind for kind in MOMENTS}}
    tensors = {
        kind: engine.optimizer.get_local_fp32_param(parameter, key).narrow(0, 0, count)
        for kind, key in keys.items()
    }
    return _piece(name, start, tensors)


def _piece(name: str, start: int, tensors: dict[str, torch.Tensor]) -> Piece:
    return Piece(name, start, {kind: tensor.detach() for kind, tensor in tensors.items()})


def _ensure_moments(engine: LearnerEngine) -> None:
    """Make the state that AdamW would make at its first step."""
    optimizer = _adamw(engine)
    for flat in _optimized(engine):
        if not optimizer.state[flat]:
            optimizer.state[flat] = {
                "step": torch.zeros((), dtype=torch.float32, device=flat.device),
                **{kind: torch.zeros_like(flat) for kind in MOMENTS},
            }


def _optimized(engine: LearnerEngine) -> list[torch.Tensor]:
    """The tensors that AdamW steps: parameters, or this rank's part of them laid end to end."""
    if engine.config.zero_stage == 3:
        flats: list[torch.Tensor] = engine.optimizer.fp32_partitioned_groups_flat
        return flats
    return [flat for group in _adamw(engine).param_groups for flat in group["params"]]


def _adamw(engine: LearnerEngine) -> torch.optim.Optimizer:
    """Torch's optimizer, which ZeRO's wraps."""
    if engine.config.zero_stage == 0:
        return engine.optimizer
    optimizer: torch.optim.Optimizer = engine.optimizer.optimizer
    return optimizer
