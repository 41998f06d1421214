"""One learner rank: scoring and updating the policy and its value with DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from curio_ray.config.learner import LearnerConfig
from curio_ray.errors import LearnerError
from curio_ray.known_tokens import Ranges
from curio_ray.learner.architecture import check_architecture, check_first_step
from curio_ray.learner.checkpoint import RankState, load_state, save_state
from curio_ray.learner.deepspeed_setup import deepspeed_config
from curio_ray.learner.lora import adapters_off
from curio_ray.learner.losses import Counts, Objective
from curio_ray.learner.metrics import MetricSums, log_prob_gaps
from curio_ray.learner.model import PolicyValueModel
from curio_ray.learner.model_loading import (
    adapter_dropout,
    build_policy_value_model,
    build_reference_model,
)
from curio_ray.learner.packing import (
    Pack,
    PackedTensors,
    pack_sequences,
    pack_tensors,
    split_minibatches,
)
from curio_ray.learner.policy_weights import PolicyWeights
from curio_ray.learner.sequences import SequenceScore, TrainingSequence, check_finite
from curio_ray.private_api.deepspeed_private import OptimizerShards

MAX_SKIPPED_IN_A_ROW = 5
COUNTERS = ("updates", "optimizer_steps", "skipped_in_a_row")


class LearnerEngine:
    """The learner on one rank. Its process group must have been joined.

    Every method but the properties is a collective: all ranks call it with the same arguments.

    Args:
        model_path: Hugging Face folder or id of the start policy.
        config: the learner's config.
        temperature: at which the policy is sampled; log-probabilities are of that distribution.
        seed: of the value head and of the minibatches.
        unknown: ids of the output head that are never sampled.
    """

    def __init__(
        self,
        model_path: str,
        config: LearnerConfig,
        temperature: float,
        seed: int,
        unknown: Ranges = (),
    ) -> None:
        import deepspeed

        self.config = config
        self.model_path = model_path
        self.seed = seed
        self.objective = Objective(config)
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.device = torch.device("cuda" if config.gpus_per_rank else "cpu")
        self.updates = 0
        self.optimizer_steps = 0
        self.skipped_in_a_row = 0
        model = build_policy_value_model(model_path, config, temperature, seed, unknown)
        model.to(self.device)
        self.reference = None
        if config.kl_coefficient > 0 and config.lora is None:
            self.reference = build_reference_model(
                model_path, config.precision, temperature, unknown
            )
            self.reference.to(self.device)
        self.policy_parameters = sum(p.numel() for p in model.language_model.parameters())
        self.deepspeed, self.optimizer, _, _ = deepspeed.initialize(
            model=model,
            optimizer=_optimizer(model, config),
            config=deepspeed_config(config),
            dist_init_required=False,
        )
        shards = OptimizerShards(self.deepspeed, self.optimizer, config.zero_stage, self.rank)
        self._rank_state = RankState(shards, config, self.rank, self.ranks, seed)
        self.policy_weights = PolicyWeights(self.language_model, config.zero_stage)
        check_architecture(
            lambda pack: self.deepspeed(pack)[0],
            self.deepspeed.module,
            several=config.tokens_per_pack > 1,
        )

    def score(self, sequences: Sequence[TrainingSequence]) -> dict[int, SequenceScore]:
        """Log-probabilities, reference log-probabilities and values of this rank's share.

        Returns:
            By index into `sequences`; the ranks' shares together cover each sequence once.
        """
        scores: dict[int, SequenceScore] = {}
        for pack in self._packs(sequences):
            members = [sequences[index] for index in pack]
            tensors = pack_tensors(members, self.device)
            with torch.no_grad():
                log_probs, values = self.deepspeed(tensors)
            reference = log_probs
            if self.config.kl_coefficient > 0:
                reference = self._reference_log_probs(tensors)
            scores |= zip(pack, _unpack(members, log_probs, reference, values), strict=True)
        return scores

    def update(self, sequences: Sequence[TrainingSequence]) -> dict[str, float]:
        """Epochs of minibatch steps over credited sequences.

        Returns:
            Metrics of all ranks together: means over the policy's tokens or turns.

        Raises:
            LearnerError: a sequence holds numbers that are not finite, or too many steps in a row
                had gradients that are not, or the first step was not taken from the start policy.
        """
        check_finite(sequences)
        sums, skipped = MetricSums(), 0
        norms: list[float] = []
        for epoch in range(self.config.epochs):
            seed = (self.seed, self.updates, epoch)
            for minibatch in split_minibatches(len(sequences), self.config.minibatches, seed):
                members = [sequences[index] for index in minibatch]
                untouched = not norms and not skipped
                compares = untouched and self._tells_agreement(members)
                with adapter_dropout(self.deepspeed.module):
                    norm = self._minibatch_step(members, sums, compares)
                if self.updates == 0 and untouched:
                    check_first_step(sums.over_ranks(self.device))
                if norm is None:
                    skipped += 1
                else:
                    norms.append(norm)
        self.updates += 1
        return sums.over_ranks(self.device) | {
            "policy_tokens": float(self.config.epochs * Counts.of(sequences).tokens),
            "gradient_norm": float(np.mean(norms)) if norms else 0.0,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "optimizer_steps": float(self.optimizer_steps),
            "skipped_steps": float(skipped),
        }

    def save(self, folder: Path) -> list[Path]:
        """Write the whole training state into `folder`, each rank its part.

        Returns:
            The files that this rank has written.
        """
        counters = {name: getattr(self, name) for name in COUNTERS}
        return save_state(self._rank_state, counters, folder)

    def load(self, folder: Path) -> None:
        """Take up the training state of `folder`; the next steps equal those after the save.

        Raises:
            CheckpointError: the folder was written by a learner of another shape.
        """
        for name, value in load_state(self._rank_state, folder).items():
            setattr(self, name, value)

    def export_policy(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder, with its tokenizer."""
        self.policy_weights.export(self.model_path, folder, self.rank)

    @property
    def language_model(self) -> Any:
        """The Hugging Face model that is trained; under ZeRO-3 its weights are partitions."""
        return self.deepspeed.module.language_model

    def _packs(self, sequences: Sequence[TrainingSequence]) -> list[Pack]:
        lengths = [len(sequence) for sequence in sequences]
        return pack_sequences(lengths, self.ranks, self.config.tokens_per_pack)[self.rank]

    def _tells_agreement(self, sequences: Sequence[TrainingSequence]) -> bool:
        """Whether an update's first forward pass is to be compared with the servers.

        Scored sequences have been already; with dropout the pass is of another network.
        """
        scored = all(each.reference_log_probs is not None for each in sequences)
        fresh = any(each.fresh is not None and each.fresh.any() for each in sequences)
        dropout = self.config.lora is not None and self.config.lora.dropout > 0
        return fresh and not scored and not dropout

    def _minibatch_step(
        self, sequences: Sequence[TrainingSequence], sums: MetricSums, compares: bool
    ) -> float | None:
        """One optimizer step; the gradient norm before clipping, or None where it was skipped."""
        counts = Counts.of(sequences)
        # Asked of the whole minibatch, so that all ranks take part in the same forward passes.
        scored = all(sequence.reference_log_probs is not None for sequence in sequences)
        packs, finite = self._packs(sequences), torch.ones((), device=self.device)
        self._set_learning_rates()
        for number, pack in enumerate(packs):
            is_last = number == len(packs) - 1
            tensors = pack_tensors([sequences[index] for index in pack], self.device)
            if self.config.kl_coefficient > 0 and not scored:
                reference = self._reference_log_probs(tensors)
                tensors = replace(tensors, reference_log_probs=reference)
            log_probs, values = self.deepspeed(tensors)
            loss, metrics = self.objective(tensors, log_probs, values, counts)
            sums.add(metrics)
            if compares:
                sums.add(log_prob_gaps(log_probs, tensors.behaviour_log_probs, tensors.fresh))
            finite *= loss.isfinite()
            if is_last and not self._on_all_ranks(finite):
                loss = loss * torch.nan
            self.deepspeed.set_gradient_accumulation_boundary(is_last)
            # DeepSpeed averages gradients over ranks; the losses are already global means.
            self.deepspeed.backward(loss * self.ranks)
            if not is_last:
                self.deepspeed.step()
        return self._guarded_step()

    @torch.no_grad()
    def _reference_log_probs(self, pack: PackedTensors) -> torch.Tensor:
        """Log-probabilities float32[A] under the start policy; adapters need no copy of it."""
        log_probs: torch.Tensor
        if self.reference is not None:
            log_probs = self.reference(pack)
        else:
            with adapters_off(self.deepspeed.module):
                log_probs, _ = self.deepspeed(pack)
        return log_probs

    def _guarded_step(self) -> float | None:
        """Step unless the gradient is not finite on some rank; then no rank's weights change.

        ZeRO's own optimizers leave such a step out; plain stage 0 would not.
        """
        if self.config.zero_stage == 0:
            gradients = [p.grad for p in self.deepspeed.module.parameters() if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            applied = bool(np.isfinite(norm))
            if applied:
                self.deepspeed.step()
            else:
                self.deepspeed.zero_grad()
        else:
            self.deepspeed.step()
            norm = float(self.deepspeed.get_global_grad_norm())
            applied = self.deepspeed.was_step_applied()
        if applied:
            self.optimizer_steps += 1
            self.skipped_in_a_row = 0
            return norm
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise LearnerError(
                f"the loss or its gradient was not finite in {self.skipped_in_a_row} optimizer "
                "steps in a row; lower learner.learning_rate or learner.gradient_clip and resume "
                "from an earlier checkpoint"
            )
        return None

    def _set_learning_rates(self) -> None:
        factor = warmup_factor(self.optimizer_steps, self.config.warmup_steps)
        rates = (self.config.learning_rate, self.config.value.learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    def _on_all_ranks(self, flag: torch.Tensor) -> bool:
        """Whether a float32 flag is 1 on every rank. The flag is changed."""
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MIN)
        return bool(flag)


def _optimizer(model: PolicyValueModel, config: LearnerConfig) -> torch.optim.Optimizer:
    """Torch's fused AdamW, which needs no compiler; the value head has a rate of its own."""
    policy = {
        "params": [p for p in model.language_model.parameters() if p.requires_grad],
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay,
    }
    value = {
        "params": list(model.value_head.parameters()),
        "lr": config.value.learning_rate,
        "weight_decay": 0.0,
    }
    return torch.optim.AdamW([policy, value], fused=True)


def _unpack(
    sequences: Sequence[TrainingSequence],
    log_probs: torch.Tensor,
    reference: torch.Tensor,
    values: torch.Tensor,
) -> Iterator[SequenceScore]:
    """Cut a pack's results [A], [A] and [T] into the scores of its sequences, if it has any."""
    if not sequences:
        return
    action_ends = np.cumsum([sequence.policy_tokens for sequence in sequences])[:-1]
    turn_ends = np.cumsum([len(sequence.value_positions) for sequence in sequences])[:-1]
    for sequence, own, old, value in zip(
        sequences,
        np.split(log_probs.cpu().numpy(), action_ends),
        np.split(reference.cpu().numpy(), action_ends),
        np.split(values.cpu().numpy(), turn_ends),
        strict=True,
    ):
        spread = np.zeros((2, len(sequence)), dtype=np.float32)
        spread[:, sequence.action_mask] = own, old
        yield SequenceScore(log_probs=spread[0], reference_log_probs=spread[1], values=value)


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Share of the full learning rate at an optimizer step counted from 0: linear, then 1."""
    return min(1.0, (step + 1) / (warmup_steps + 1))
