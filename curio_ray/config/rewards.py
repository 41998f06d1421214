"""Reward streams and how they become advantages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from curio_ray.config.base import Fraction, Positive, Section


class TaskRewardConfig(Section):
    """The sparse reward of the last turn: by the task's rule, or by the reward model."""

    source: Literal["rule", "reward_model"] = "reward_model"
    """rule: the task's own score. reward_model: the reward model's verdict."""
    weight: float = 1.0
    """Weight of the stream."""


class IntrinsicRewardConfig(Section):
    """The dense reward for getting to know the user; `mtrlhf` is none of it, the baseline."""

    name: str = "diff_acc"
    """Which registered function of the beliefs is the reward of a turn; with `function` the name of
    that one in logs and tables."""
    function: str | None = None
    """A reward function of your own as `module:name`; `name` is its name by default."""
    weight: float = 1.0
    """Weight of the stream."""
    clip: Annotated[float | None, Field(gt=0)] = None
    """Bound of each turn's reward, to both sides; by default none."""
    final_potential: Literal["kept", "zero"] = "kept"
    """What the last belief counts as in differences: itself, as in the paper, or zero, with which
    shaping leaves the optimal policy unchanged."""
    attribution: Literal["exchange", "reply"] = "exchange"
    """exchange: a turn is paid for all that moved the belief. reply: for what the user's reply
    moved, not the policy's own words."""

    @model_validator(mode="before")
    @classmethod
    def _named_as_its_function(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("function") and "name" not in values:
            return {**values, "name": str(values["function"]).rpartition(":")[2]}
        return values

    @field_validator("final_potential")
    @classmethod
    def _bounded_differences_do_not_telescope(
        cls, final_potential: str, info: ValidationInfo
    ) -> str:
        if final_potential == "zero" and info.data.get("clip") is not None:
            raise ValueError(
                "rewards cut off by clip no longer add up to the change of a potential, which zero "
                "is for; write kept, or clip: null"
            )
        return final_potential

    @field_validator("attribution")
    @classmethod
    def _replies_do_not_telescope(cls, attribution: str, info: ValidationInfo) -> str:
        if attribution == "reply" and info.data.get("final_potential") == "zero":
            raise ValueError(
                "the gains of replies are no differences of one potential, so its end cannot be "
                "zero; write exchange, or final_potential: kept"
            )
        return attribution


class LengthPenaltyConfig(Section):
    """What a turn loses for each token beyond the free ones."""

    weight: Annotated[float, Field(ge=0)]
    """Loss per token."""
    free_tokens: Annotated[int, Field(ge=0)]
    """Tokens of a turn that cost nothing, the end mark counted."""


class RepetitionPenaltyConfig(Section):
    """What a turn loses for the share of its word n-grams that the policy has said before."""

    weight: Annotated[float, Field(ge=0)]
    """Loss of a turn that says nothing new."""
    n: Positive = 3
    """Words of an n-gram."""


class TruncationPenaltyConfig(Section):
    """What a turn loses that was cut off at max_tokens; with rollout.truncated: penalise."""

    weight: Annotated[float, Field(ge=0)]
    """Loss of such a turn."""


class PenaltiesConfig(Section):
    """Negative rewards of single turns; each is off unless its section is there."""

    length: LengthPenaltyConfig | None = None
    """Against turns that get longer."""
    repetition: RepetitionPenaltyConfig | None = None
    """Against saying the same again."""
    truncation: TruncationPenaltyConfig | None = None
    """Against turns that do not come to an end."""


class RewardsConfig(Section):
    """Every reward stream with its weight."""

    task: TaskRewardConfig = TaskRewardConfig()
    """The reward of the finished dialogue."""
    intrinsic: IntrinsicRewardConfig = IntrinsicRewardConfig()
    """The reward of every turn."""
    quality: dict[str, float] = Field(default_factory=dict)
    """Weights of the task's quality terms by name, such as informative: 0.1. The reward model
    judges every turn of the policy by each."""
    penalties: PenaltiesConfig = PenaltiesConfig()
    """What a turn loses."""


class CreditConfig(Section):
    """From rewards to advantages, one per policy turn.

    `discount` and `gae_lambda` are spent at turn boundaries. `gae` uses the value head; `rloo`
    compares the dialogues of one user with each other (leave-one-out), without a value.
    """

    estimator: Literal["gae", "rloo"] = "gae"
    """gae: the value head is the baseline. rloo: the other dialogues of the same user are."""
    discount: Fraction = 1.0
    """Per turn; also the discount of the reward's potential differences."""
    gae_lambda: Fraction = 0.95
    """Per turn: 1 trusts the returns, 0 the values."""
    group_size: Positive = 1
    """Dialogues per user in an iteration."""
    normalise: Literal["none", "mean", "mean_std"] = "mean_std"
    """What is done to the advantages of a batch. none: nothing. mean: their mean is taken off.
    mean_std: they are divided by their deviation as well."""
    deviation_memory: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """The share that the running deviation keeps of itself in an iteration. Advantages are divided
    by no less than it, so that a batch with less to tell than usual is not scaled up; 0 looks at
    each batch alone."""
    min_deviation: Annotated[float, Field(ge=0)] = 1e-3
    """Returns that differ by less, in units of the weighted rewards, tell nothing apart: such a
    batch, or with rloo such a group, teaches nothing."""
