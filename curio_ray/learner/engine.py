"""One learner rank: scoring and updating the policy and its value with DeepSpeed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from curio_ray.config.learner import UPDATE_TRIES, LearnerConfig
from curio_ray.known_tokens import Ranges
from curio_ray.learner.architecture import check_architecture, check_first_step
from curio_ray.learner.checkpoint import RankState, load_state, save_state
from curio_ray.learner.deepspeed_setup import deepspeed_config, frozen_model, place_model
from curio_ray.learner.lora import adapters_off
from curio_ray.learner.losses import Counts, Objective
from curio_ray.learner.metrics import Mean, MetricSums, log_prob_gaps
from curio_ray.learner.model_loading import (
    adapter_dropout,
    build_policy,
    build_reference_model,
)
from curio_ray.learner.optimizer import PolicyOptimizer, policy_adamw
from curio_ray.learner.packing import (
    Pack,
    PackedTensors,
    pack_sequences,
    pack_tensors,
    split_minibatches,
    unpack_scores,
)
from curio_ray.learner.policy_weights import PolicyWeights
from curio_ray.learner.schedules import decay_factor, first_coefficient, next_coefficient
from curio_ray.learner.sequences import SequenceScore, TrainingSequence, check_finite
from curio_ray.learner.steps import StepLog
from curio_ray.learner.update_guard import StateCopy, divergence_terms
from curio_ray.learner.value import ValueLearner
from curio_ray.private_api.deepspeed_private import OptimizerShards, element_count


class LearnerEngine:
    """The learner on one rank. Its process group must have been joined.

    Every method but the properties is a collective: all ranks call it with the same arguments.

    Args:
        model_path: Hugging Face folder or id of the start policy.
        config: the learner's config.
        temperature: at which the policy is sampled; log-probabilities are of that distribution.
        seed: of the value head and of the minibatches.
        unknown: ids of the output head that are never sampled.
        iterations: updates over which the learning rates decay.
        learns_value: whether credit uses the value; otherwise it is neither computed nor learned.
    """

    def __init__(
        self,
        model_path: str,
        config: LearnerConfig,
        temperature: float,
        seed: int,
        unknown: Ranges = (),
        iterations: int = 1,
        learns_value: bool = True,
    ) -> None:
        import deepspeed

        self.config = config
        self.model_path = model_path
        self.seed = seed
        self.iterations = iterations
        self.learns_value = learns_value
        self.objective = Objective(config)
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.device = torch.device("cuda" if config.gpus_per_rank else "cpu")
        self.updates = 0
        self.kl_coefficient = first_coefficient(config.kl_coefficient)
        model = build_policy(model_path, config, temperature, seed, unknown)
        width = model.language_model.get_output_embeddings().in_features
        place_model(model, config, self.device)
        self.reference: Any = None
        if config.has_kl and config.lora is None:
            start_policy = build_reference_model(model_path, config.precision, temperature, unknown)
            self.reference = frozen_model(start_policy, config, self.device)
        self.policy_parameters = sum(map(element_count, model.language_model.parameters()))
        self.deepspeed, optimizer, _, _ = deepspeed.initialize(
            model=model,
            optimizer=policy_adamw(model, config),
            config=deepspeed_config(config),
            dist_init_required=False,
        )
        self.policy = PolicyOptimizer(self.deepspeed, optimizer, config)
        self.value = ValueLearner(width, config, seed, self.device)
        shards = OptimizerShards(self.deepspeed, optimizer, config.zero_stage, self.rank)
        self._kept = StateCopy(shards, self.value)
        self._rank_state = RankState(shards, self.value, config, self.rank, self.ranks, seed)
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
                log_probs, states = self.deepspeed(tensors)
            reference = self._reference_log_probs(tensors) if self.config.has_kl else log_probs
            values = self.value.values(states)
            scores |= zip(pack, unpack_scores(members, log_probs, reference, values), strict=True)
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
        if self.learns_value:
            sequences = self.value.scaled(sequences)
        metrics = self._guarded_learn(sequences) | {
            "policy_tokens": float(self.config.epochs * Counts.of(sequences).tokens),
            "learning_rate": self.policy.learning_rate,
            "optimizer_steps": float(self.policy.steps),
            "kl_coefficient": self.kl_coefficient,
        }
        self.updates += 1
        self.kl_coefficient = next_coefficient(
            self.config.kl_coefficient,
            self.kl_coefficient,
            metrics["kl"],
            self.updates,
            self.policy.steps,
        )
        return metrics

    def save(self, folder: Path) -> list[Path]:
        """Write the whole training state into `folder`, each rank its part.

        Returns:
            The files that this rank has written.
        """
        return save_state(self._rank_state, self._counters(), folder)

    def load(self, folder: Path) -> None:
        """Take up the training state of `folder`; the next steps equal those after the save.

        Raises:
            CheckpointError: the folder was written by a learner of another shape.
        """
        self._set_counters(load_state(self._rank_state, folder))

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

    def _guarded_learn(self, sequences: Sequence[TrainingSequence]) -> dict[str, float]:
        """The steps of one update, at half the rate again and again while they go too far.

        Returns:
            The figures of the last try.
        """
        limit = self.config.max_update_kl
        if limit is None:
            return self._learn(sequences, 1.0).metrics(self.device)
        before, taken_back = self._counters(), 0
        self._kept.keep(before)
        for attempt in range(UPDATE_TRIES):
            log = self._learn(sequences, 0.5**attempt)
            divergence = self._update_kl(sequences)
            moved = self.policy.steps > before["optimizer_steps"]
            if divergence <= limit or not moved:
                break
            taken_back += 1
            self._set_counters(self._kept.restore())
        else:
            divergence = self._update_kl(sequences)
        figures = {"update_kl": divergence, "updates_taken_back": float(taken_back)}
        return log.metrics(self.device) | figures

    @torch.no_grad()
    def _update_kl(self, sequences: Sequence[TrainingSequence]) -> float:
        """KL divergence of the policy from the one that sampled, nats per token of the batch."""
        sums = MetricSums()
        for pack in self._packs(sequences):
            tensors = pack_tensors([sequences[index] for index in pack], self.device)
            log_probs, _ = self.deepspeed(tensors)
            sums.add({"kl": Mean.of(divergence_terms(log_probs, tensors.behaviour_log_probs))})
        return sums.over_ranks(self.device)["kl"]

    def _learn(self, sequences: Sequence[TrainingSequence], share: float) -> StepLog:
        """Every epoch's steps of one update, at a share of the learning rates."""
        log = StepLog()
        for epoch in range(self.config.epochs):
            seed = (self.seed, self.updates, epoch)
            for minibatch in split_minibatches(len(sequences), self.config.minibatches, seed):
                first, members = log.steps == 0, [sequences[index] for index in minibatch]
                compares = first and self._tells_agreement(members)
                with adapter_dropout(self.deepspeed.module):
                    self._minibatch_step(members, log, compares, share)
                if first and self.updates == 0:
                    check_first_step(log.metrics(self.device))
        return log

    def _tells_agreement(self, sequences: Sequence[TrainingSequence]) -> bool:
        """Whether an update's first forward pass is to be compared with the servers.

        Scored sequences have been already; with dropout the pass is of another network.
        """
        scored = all(each.reference_log_probs is not None for each in sequences)
        fresh = any(each.fresh is not None and each.fresh.any() for each in sequences)
        dropout = self.config.lora is not None and self.config.lora.dropout > 0
        return fresh and not scored and not dropout

    def _minibatch_step(
        self, sequences: Sequence[TrainingSequence], log: StepLog, compares: bool, share: float
    ) -> None:
        """One step of policy and value, or of the value alone."""
        counts = Counts.of(sequences)
        # Asked of the whole minibatch, so that all ranks take part in the same forward passes.
        scored = all(sequence.reference_log_probs is not None for sequence in sequences)
        moves_policy = self._moves_policy(sequences)
        packs, finite = self._packs(sequences), torch.ones((), device=self.device)
        for number, pack in enumerate(packs):
            is_last = number == len(packs) - 1
            tensors = pack_tensors([sequences[index] for index in pack], self.device)
            if self.config.has_kl and not scored:
                reference = self._reference_log_probs(tensors)
                tensors = replace(tensors, reference_log_probs=reference)
            log_probs, values = self._forward(tensors, moves_policy)
            loss, metrics = self.objective(tensors, log_probs, values, counts, self.kl_coefficient)
            log.add(metrics)
            if compares:
                log.add(log_prob_gaps(log_probs, tensors.behaviour_log_probs, tensors.fresh))
            finite *= loss.isfinite()
            if is_last and not self._on_all_ranks(finite):
                loss = loss * torch.nan
            self._backward(loss, moves_policy, is_last)
        factor = share * decay_factor(self.updates, self.iterations, self.config.decay)
        norm = self.policy.step(factor) if moves_policy else 0.0
        if norm is None:
            self.value.discard_gradients()
        value_norm = self.value.step(factor) if self.learns_value and norm is not None else None
        log.step(norm, value_norm, self.learns_value)

    def _moves_policy(self, sequences: Sequence[TrainingSequence]) -> bool:
        """Whether a minibatch has anything to teach the policy, which momentum alone must not.

        Not where nothing pulls and every advantage is 0; and not while the value learns first.
        """
        if self.learns_value and self.value.steps < self.config.value.warmup_steps:
            return False
        pulls = self.kl_coefficient > 0 or self.config.loss.name == "custom"
        return pulls or any(each.advantages.any() for each in sequences)

    def _forward(
        self, pack: PackedTensors, moves_policy: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities [A], and where it is learned the scaled value [T], with gradients."""
        with torch.set_grad_enabled(moves_policy):
            log_probs, states = self.deepspeed(pack)
        if not moves_policy:
            log_probs.requires_grad_()
        if not self.learns_value:
            return log_probs, None
        return log_probs, self.value.head(states.detach() if self.config.value.detach else states)

    def _backward(self, loss: torch.Tensor, moves_policy: bool, is_last: bool) -> None:
        # DeepSpeed and the value average gradients over ranks; the losses are global means.
        loss = loss * self.ranks
        if not moves_policy:
            loss.backward()
            return
        self.deepspeed.set_gradient_accumulation_boundary(is_last)
        self.deepspeed.backward(loss)
        if not is_last:
            self.deepspeed.step()

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

    def _on_all_ranks(self, flag: torch.Tensor) -> bool:
        """Whether a float32 flag is 1 on every rank. The flag is changed."""
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MIN)
        return bool(flag)

    def _counters(self) -> dict[str, Any]:
        return {
            "updates": self.updates,
            "optimizer_steps": self.policy.steps,
            "skipped_in_a_row": self.policy.skipped_in_a_row,
            "kl_coefficient": self.kl_coefficient,
            "value": self.value.counters(),
        }

    def _set_counters(self, counters: Mapping[str, Any]) -> None:
        self.updates = counters["updates"]
        self.policy.steps = counters["optimizer_steps"]
        self.policy.skipped_in_a_row = counters["skipped_in_a_row"]
        self.kl_coefficient = counters["kl_coefficient"]
        self.value.set_counters(counters["value"])
