"""The whole config of a run and the rules that hold between its sections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, model_validator

from curio_ray.config.base import Folder, Section
from curio_ray.config.cluster import ClusterConfig
from curio_ray.config.evaluation import EvaluationConfig
from curio_ray.config.gpu_shares import share_problem
from curio_ray.config.learner import LearnerConfig
from curio_ray.config.rewards import CreditConfig, RewardsConfig
from curio_ray.config.servers import (
    AnyServerConfig,
    EndpointConfig,
    RolesConfig,
    ServerConfig,
    WeightTransferConfig,
)
from curio_ray.config.supervised import SupervisedConfig
from curio_ray.config.tracking import TrackingConfig
from curio_ray.config.training import RolloutConfig, TrainingConfig


class TaskConfig(Section):
    """What the dialogues are about."""

    name: str
    """A registered task, or a class as module:Class."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The task's own fields."""


class RunConfig(Section):
    """Everything that defines a run. Paths are relative to the folder of the command."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Of users, sampling and learning."""
    template_clock: datetime | None = None
    """The moment that chat templates take for now, such as 2026-01-31T12:00:00; null: the run's
    start, which its folder then keeps."""
    output: Folder
    """The run folder. On a cluster it lies on a file system that all nodes share."""
    task: TaskConfig
    """What the dialogues are about."""
    servers: dict[str, AnyServerConfig]
    """Model servers by name; one with a url is an endpoint that this run does not start."""
    roles: RolesConfig
    """Who is served by which server."""
    weights: WeightTransferConfig = WeightTransferConfig()
    """How new policy weights reach their server."""
    rollout: RolloutConfig = RolloutConfig()
    """How dialogues are held."""
    rewards: RewardsConfig = RewardsConfig()
    """The reward streams."""
    credit: CreditConfig = CreditConfig()
    """From rewards to advantages."""
    learner: LearnerConfig = LearnerConfig()
    """The DeepSpeed learner."""
    training: TrainingConfig
    """How long to train."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Measurement on held-out users."""
    supervised: SupervisedConfig = SupervisedConfig()
    """Models that have learned from recorded conversations, made by `curio sft`."""
    cluster: ClusterConfig = ClusterConfig()
    """Where Ray runs."""
    tracking: TrackingConfig = TrackingConfig()
    """Where metrics go besides the run folder."""

    def with_clock(self) -> RunConfig:
        """The config with the present moment as the templates' clock, where it names none."""
        if self.template_clock is not None:
            return self
        return self.model_copy(update={"template_clock": datetime.now().replace(microsecond=0)})

    @property
    def own_servers(self) -> dict[str, ServerConfig]:
        """The servers that this run starts, by name."""
        return {name: each for name, each in self.servers.items() if isinstance(each, ServerConfig)}

    @property
    def endpoints(self) -> dict[str, EndpointConfig]:
        """The servers behind a URL, by name."""
        return {
            name: each for name, each in self.servers.items() if isinstance(each, EndpointConfig)
        }

    @property
    def policy_server(self) -> ServerConfig:
        """The server whose weights change."""
        return self.own_servers[self.roles.policy.server]

    @model_validator(mode="after")
    def _roles_name_servers(self) -> RunConfig:
        known = f"write one of: {', '.join(sorted(self.servers))}, or " if self.servers else ""
        for field, server in self._servers_by_field():
            if server not in self.servers:
                raise ValueError(
                    f"{field}: there is no server '{server}'; {known}add servers.{server}"
                )
        return self

    @model_validator(mode="after")
    def _policy_is_served_alone(self) -> RunConfig:
        for field, server in self._servers_by_field():
            if server != self.roles.policy.server or field == "roles.policy.server":
                continue
            if not field.startswith("roles.user_model"):
                raise ValueError(
                    f"{field}: '{server}' serves the policy, whose weights change; write the name "
                    "of another server"
                )
            if self.roles.user_model.reads != "policy_context":
                raise ValueError(
                    f"{field}: '{server}' serves the policy, whose weights change; write the name "
                    "of another server, or roles.user_model.reads: policy_context to take the "
                    "policy as its own user model"
                )
        return self

    @model_validator(mode="after")
    def _endpoints_are_frozen(self) -> RunConfig:
        policy = self.roles.policy.server
        if policy in self.endpoints:
            raise ValueError(
                f"roles.policy.server: '{policy}' is behind a URL, and the policy's weights "
                "change; write the name of a server without url"
            )
        models = {"roles.user_model": self.roles.user_model}
        if self.evaluation.second_user_model is not None:
            models["evaluation.second_user_model"] = self.evaluation.second_user_model
        for field, model in models.items():
            for name in model.servers:
                if model.reads == "policy_context" and name in self.endpoints:
                    raise ValueError(
                        f"{field}.reads: '{name}' is behind a URL and cannot read the policy's "
                        "own context; write transcript, or name a server without url"
                    )
        return self

    def _servers_by_field(self) -> list[tuple[str, str]]:
        roles = self.roles
        named = [
            (f"roles.{role}.server", getattr(roles, role).server)
            for role in ("policy", "environment", "user_model", "reward_model")
        ]
        named += [("roles.user_model.others", name) for name in roles.user_model.others]
        second, judge = self.evaluation.second_user_model, self.evaluation.judge
        if second is not None:
            named.append(("evaluation.second_user_model.server", second.server))
            named += [("evaluation.second_user_model.others", name) for name in second.others]
        if judge is not None:
            named.append(("evaluation.judge.server", judge.server))
        return named

    @model_validator(mode="after")
    def _something_to_attribute(self) -> RunConfig:
        attributed = self.rewards.intrinsic.attribution == "reply"
        if attributed and self.roles.user_model.hears == "user_words":
            raise ValueError(
                "rewards.intrinsic.attribution: the policy's own words do not move a user model "
                "that hears the user alone; write exchange, or roles.user_model.hears: dialogue"
            )
        return self

    @model_validator(mode="after")
    def _truncated_turns_lose_what_they_are_to_lose(self) -> RunConfig:
        penalised = self.rollout.truncated == "penalise"
        section = self.rewards.penalties.truncation
        if penalised and section is None:
            raise ValueError(
                "rollout.truncated: penalise needs to know what such a turn loses; write "
                "rewards.penalties.truncation: {weight: 0.5}, or keep or mask"
            )
        if section is not None and not penalised:
            raise ValueError(
                "rewards.penalties.truncation: no turn loses it with rollout.truncated: "
                f"{self.rollout.truncated}; write rollout.truncated: penalise, or null here"
            )
        return self

    @model_validator(mode="after")
    def _groups_fill_the_batch(self) -> RunConfig:
        size, batch = self.credit.group_size, self.training.dialogues_per_iteration
        if self.credit.estimator == "rloo" and size < 2:
            raise ValueError(
                "credit.group_size: rloo compares the dialogues of one user; "
                "write 2 or more, or credit.estimator: gae"
            )
        if batch % size:
            raise ValueError(
                f"credit.group_size: {batch} dialogues per iteration do not divide into groups "
                f"of {size}; write a divisor of training.dialogues_per_iteration"
            )
        return self

    @model_validator(mode="after")
    def _a_value_that_warms_up_is_used(self) -> RunConfig:
        if self.learner.value.warmup_steps and self.credit.estimator == "rloo":
            raise ValueError(
                "learner.value.warmup_steps: rloo uses no value; write 0, or credit.estimator: gae"
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
    def _precision_fits_the_stage(self) -> RunConfig:
        # at stage 0 DeepSpeed wraps bfloat16 in a legacy optimizer that drifts
        if self.learner.precision == "bfloat16" and self.learner.zero_stage == 0:
            raise ValueError(
                "learner.zero_stage: bfloat16 needs sharded optimizer states; write 1 or more, "
                "or learner.precision: float32"
            )
        return self

    @model_validator(mode="after")
    def _ranks_lie_beside_a_server(self) -> RunConfig:
        placement = self.learner.placement
        if placement.beside is None:
            return self
        if placement.beside not in self.own_servers:
            behind = placement.beside in self.endpoints
            raise ValueError(
                f"learner.placement.beside: there is no server '{placement.beside}'"
                f"{' that this run starts' if behind else ''}; write one of: "
                f"{', '.join(sorted(self.own_servers))}, or null"
            )
        if placement.strategy or placement.labels:
            raise ValueError(
                "learner.placement: ranks beside a server lie where it lies; write strategy and "
                f"labels in servers.{placement.beside}.placement"
            )
        server = self.own_servers[placement.beside]
        most = -(-self.learner.ranks // server.replicas)
        asked = [server.gpus * server.tensor_parallel, *[self.learner.gpus_per_rank] * most]
        parts = sum(each for each in asked if each < 1)
        if parts > 1:
            raise ValueError(
                f"learner.placement.beside: a replica of '{placement.beside}' and the ranks beside "
                f"it ask for parts of a GPU that add up to {parts:g}; write parts of at most 1 "
                f"together in servers.{placement.beside}.gpus and learner.gpus_per_rank, or whole "
                "GPUs"
            )
        return self

    @model_validator(mode="after")
    def _every_process_has_a_gpu_that_it_can_use(self) -> RunConfig:
        if problem := share_problem(self.own_servers, self.learner):
            raise ValueError(problem)
        return self
