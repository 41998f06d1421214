"""The whole config of a run and the rules that hold between its sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from curio_ray.config.base import Positive, Seconds, Section
from curio_ray.config.learner import LearnerConfig
from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.config.servers import RolesConfig, ServerConfig, WeightTransferConfig


class TaskConfig(Section):
    """The task by name, or as `module:Class`; `options` are the task's own fields."""

    name: str
    options: dict[str, Any] = {}


class RolloutConfig(Section):
    """How dialogues are held. `runners` are CPU actors, each with many dialogues in flight."""

    runners: Positive = 1
    dialogues_in_flight: Positive = 64
    attempts: Positive = 3
    dialogue_deadline_s: Seconds = 300


class TrainingConfig(Section):
    """How long to train and when to save."""

    iterations: Positive
    dialogues_per_iteration: Positive
    checkpoint_every: Positive = 20
    keep_checkpoints: Positive = 2


class EvaluationConfig(Section):
    """Held-out evaluation, before the first and after the last iteration."""

    users: Positive = 256
    temperature: Annotated[float, Field(ge=0)] = 1.0


class ClusterConfig(Section):
    """Where Ray runs: `address` of a running cluster, or None for one of the run's own."""

    address: str | None = None
    cpus: Positive | None = None
    dashboard: bool = False
    dashboard_port: Annotated[int, Field(ge=1024, le=65535)] = 8265
    start_deadline_s: Seconds = 120


class RunConfig(Section):
    """Everything that defines a run. Paths are relative to the folder of the command."""

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    output: Path
    task: TaskConfig
    servers: dict[str, ServerConfig]
    roles: RolesConfig
    weights: WeightTransferConfig = WeightTransferConfig()
    rollout: RolloutConfig = RolloutConfig()
    rewards: RewardsConfig = RewardsConfig()
    credit: CreditConfig = CreditConfig()
    learner: LearnerConfig = LearnerConfig()
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _roles_name_servers(self) -> RunConfig:
        known = ", ".join(sorted(self.servers)) or "none"
        for role in ("policy", "environment", "user_model", "reward_model"):
            server = getattr(self.roles, role).server
            if server not in self.servers:
                raise ValueError(
                    f"roles.{role}.server: there is no server '{server}'; "
                    f"write one of: {known}, or add servers.{server}"
                )
        return self

    @model_validator(mode="after")
    def _policy_is_served_alone(self) -> RunConfig:
        for role in ("environment", "user_model", "reward_model"):
            if getattr(self.roles, role).server == self.roles.policy.server:
                raise ValueError(
                    f"roles.{role}.server: '{self.roles.policy.server}' serves the policy, whose "
                    "weights change; write the name of another server"
                )
        return self

    @model_validator(mode="after")
    def _groups_fill_the_batch(self) -> RunConfig:
        size, batch = self.credit.group_size, self.training.dialogues_per_iteration
        if self.credit.estimator == "group" and size < 2:
            raise ValueError(
                "credit.group_size: the group baseline compares dialogues of one user; "
                "write 2 or more, or credit.estimator: gae"
            )
        if batch % size:
            raise ValueError(
                f"credit.group_size: {batch} dialogues per iteration do not divide into groups "
                f"of {size}; write a divisor of training.dialogues_per_iteration"
            )
        return self

    @model_validator(mode="after")
    def _every_rank_gets_dialogues(self) -> RunConfig:
        shares = self.learner.ranks * self.learner.minibatches
        if self.training.dialogues_per_iteration < shares:
            raise ValueError(
                f"training.dialogues_per_iteration: {self.learner.ranks} ranks times "
                f"{self.learner.minibatches} minibatches need at least {shares} dialogues"
            )
        return self

    @model_validator(mode="after")
    def _gpus_where_needed(self) -> RunConfig:
        policy = self.servers[self.roles.policy.server]
        if self.weights.backend != "shared_memory" and not (
            policy.gpus and self.learner.gpus_per_rank
        ):
            raise ValueError(
                f"weights.backend: {self.weights.backend} needs GPUs on both sides; set "
                f"servers.{self.roles.policy.server}.gpus and learner.gpus_per_rank, "
                "or write shared_memory"
            )
        return self
