"""DeepSpeed's private names: how ZeRO lays out what AdamW knows of every trained parameter.

ZeRO lays parameters out differently by stage and number of ranks. Named and with the place where
it starts, a shard of a parameter means the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

READ_FROM = "0.19.8"

MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = ("weight", *MOMENTS)


def leave_out_inference_operators() -> None:
    """Keep DeepSpeed from compiling for most of a minute what only inference uses."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def element_count(parameter: torch.Tensor) -> int:
    """Elements of a whole parameter, also of one that ZeRO-3 has divided over the ranks."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


@dataclass(frozen=True, slots=True)
class ParameterShard:
    """The elements from `start` on of the flattened parameter `name`, as this rank holds them.

    `tensors` are float32[n] by kind: the weight as the optimizer has it, and AdamW's moments.
    Writing to them writes to the optimizer.
    """

    name: str
    start: int
    tensors: dict[str, torch.Tensor]


class OptimizerShards:
    """What one rank's optimizer holds of a DeepSpeed engine's trained parameters.

    Args:
        engine: what `deepspeed.initialize` returned first.
        optimizer: what it returned second.
        zero_stage: the stage that it was given.
        rank: of this process.
    """

    def __init__(self, engine: Any, optimizer: Any, zero_stage: int, rank: int) -> None:
        self._module = engine.module
        self._optimizer = optimizer
        self._stage = zero_stage
        self._rank = rank

    def __iter__(self) -> Iterator[ParameterShard]:
        """This rank's shards. Together the ranks' shards cover every trained parameter.

        At stage 0 every rank holds everything.
        """
        self._ensure_moments()
        for name, parameter in self._module.named_parameters():
            if not parameter.requires_grad:
                continue
            if self._stage == 0:
                state = self._optimizer.state[parameter]
                whole = {"weight": parameter, **{kind: state[kind] for kind in MOMENTS}}
                yield _shard(name, 0, {kind: tensor.view(-1) for kind, tensor in whole.items()})
            elif self._stage == 3:
                yield self._stage_3_shard(name, parameter)
            elif parameter._hp_mapping is not None:
                yield self._stage_1_or_2_shard(name, parameter._hp_mapping)

    def set_steps(self, steps: int) -> None:
        """Tell AdamW how many steps it has taken."""
        self._ensure_moments()
        for flat in self._optimized():
            self._adamw.state[flat]["step"].fill_(steps)

    @torch.no_grad()
    def spread_weights(self) -> None:
        """Give the model on every rank the weights that the optimizers hold. A collective."""
        if self._stage in (1, 2):
            self._optimizer.update_lp_params()
        elif self._stage == 3:
            # Small parameters stay gathered between steps; these have to be gathered anew.
            self._optimizer.checkpoint_event_prologue()
            parameters = dict(self._module.named_parameters())
            for shard in self:
                held = shard.tensors["weight"]
                parameters[shard.name].ds_tensor[: len(held)].copy_(held)
            self._optimizer.checkpoint_event_epilogue()

    def _stage_1_or_2_shard(self, name: str, mapping: Any) -> ParameterShard:
        place = mapping.get_hp_fragment_address()
        flat = self._optimized()[mapping.param_group_index]
        state = self._adamw.state[flat]
        moments = {kind: state[kind].narrow(0, place.start, place.numel) for kind in MOMENTS}
        tensors = {"weight": mapping.get_hp_fragment(), **moments}
        return _shard(name, mapping.lp_fragment_address.start, tensors)

    def _stage_3_shard(self, name: str, parameter: Any) -> ParameterShard:
        """Every rank has an equal share of each parameter; the last may be padded or empty."""
        share = parameter.ds_tensor.ds_numel
        start = min(self._rank * share, parameter.ds_numel)
        count = min(share, parameter.ds_numel - start)
        keys = {"weight": None, **{kind: kind for kind in MOMENTS}}
        tensors = {
            kind: self._optimizer.get_local_fp32_param(parameter, key).narrow(0, 0, count)
            for kind, key in keys.items()
        }
        return _shard(name, start, tensors)

    def _ensure_moments(self) -> None:
        """Make the state that AdamW would make at its first step."""
        for flat in self._optimized():
            if not self._adamw.state[flat]:
                self._adamw.state[flat] = {
                    "step": torch.zeros((), dtype=torch.float32, device=flat.device),
                    **{kind: torch.zeros_like(flat) for kind in MOMENTS},
                }

    def _optimized(self) -> list[torch.Tensor]:
        """The tensors that AdamW steps: parameters, or this rank's part of them laid end to end."""
        if self._stage == 3:
            flats: list[torch.Tensor] = self._optimizer.fp32_partitioned_groups_flat
            return flats
        return [flat for group in self._adamw.param_groups for flat in group["params"]]

    @property
    def _adamw(self) -> torch.optim.Optimizer:
        """Torch's optimizer, which ZeRO's wraps."""
        optimizer: torch.optim.Optimizer = (
            self._optimizer if self._stage == 0 else self._optimizer.optimizer
        )
        return optimizer


def _shard(name: str, start: int, tensors: dict[str, torch.Tensor]) -> ParameterShard:
    return ParameterShard(name, start, {kind: tensor.detach() for kind, tensor in tensors.items()})
