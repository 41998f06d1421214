"""The policy's loss: one section for each kind, told apart by its name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from curio_ray.config.base import Section


class ReinforceLossConfig(Section):
    """REINFORCE with truncated importance sampling (Espeholt et al. 2018, arXiv 1802.01561).

    Every token counts, however far the policy has moved since it was sampled.
    """

    name: Literal["reinforce"] = "reinforce"
    """Chooses this loss."""
    importance_ratio_cap: Annotated[float, Field(ge=1)] = 2.0
    """Largest importance ratio of a token."""


class PPOLossConfig(Section):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), per token.

    A token whose ratio has left the bounds in the direction of its advantage has no gradient. For
    several steps on the same dialogues: `learner.epochs` or `learner.minibatches` above 1.
    """

    name: Literal["ppo"]
    """Chooses this loss."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Ratios are clipped below 1 - clip_low."""
    clip_high: Annotated[float, Field(gt=0)] = 0.2
    """Ratios are clipped above 1 + clip_high."""
    dual_clip: Annotated[float | None, Field(gt=1)] = None
    """Largest ratio that counts where the advantage is negative, such as 3 (Ye et al. 2020, arXiv
    1912.09729); null means no bound."""


class GSPOLossConfig(Section):
    """One importance ratio per policy turn (Zheng et al. 2025, arXiv 2507.18071), clipped.

    The ratio is exp(mean log-ratio of the turn's tokens), so that it does not grow with a turn's
    length. Every turn counts the same, short or long.
    """

    name: Literal["gspo"]
    """Chooses this loss."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 3e-4
    """Ratios are clipped below 1 - clip_low."""
    clip_high: Annotated[float, Field(gt=0)] = 4e-4
    """Ratios are clipped above 1 + clip_high."""


class CustomLossConfig(Section):
    """A loss of your own: see docs/extend/losses.md."""

    name: Literal["custom"]
    """Chooses this loss."""
    function: str
    """The function as module:name, of a module that every rank can import."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The function's own arguments by name."""


LossConfig = Annotated[
    ReinforceLossConfig | PPOLossConfig | GSPOLossConfig | CustomLossConfig,
    Field(discriminator="name"),
]
