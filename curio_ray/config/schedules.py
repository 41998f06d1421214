"""What changes over a run: the learning rate, and the pull to the start policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from curio_ray.config.base import NUMBER, Fraction, Positive, Section


class DecayConfig(Section):
    """How the learning rates fall, from the first iteration to `training.iterations`."""

    shape: Literal["constant", "linear", "cosine"] = "constant"
    """constant: not at all. linear: by the same amount in each iteration. cosine: slowly at both
    ends."""
    floor: Fraction = 0.1
    """What is left of them in the last iteration, as a share."""


class KLScheduleConfig(Section):
    """A coefficient that goes evenly from one value to another and stays there."""

    choice: ClassVar[str] = "schedule"

    start: Annotated[float, Field(ge=0)]
    """In the first iteration."""
    end: Annotated[float, Field(ge=0)]
    """After `iterations`."""
    iterations: Positive
    """Iterations from start to end."""


class KLTargetConfig(Section):
    """A coefficient that holds the divergence at a target (Ziegler et al. 2019, arXiv 1909.08593).

    It grows while the divergence of an iteration lies above the target, and shrinks below it.
    """

    choice: ClassVar[str] = "target"

    target: Annotated[float, Field(gt=0)]
    """KL divergence from the start policy, in nats per token."""
    start: Annotated[float, Field(gt=0)] = 0.01
    """In the first iteration."""
    change: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The most that an iteration changes it by, as a share."""


def _kind(values: Any) -> str:
    if isinstance(values, Section):
        return str(getattr(values, "choice", ""))
    if isinstance(values, Mapping):
        return KLTargetConfig.choice if "target" in values else KLScheduleConfig.choice
    return NUMBER


KLCoefficient = Annotated[
    Annotated[float, Field(ge=0), Tag(NUMBER)]
    | Annotated[KLScheduleConfig, Tag(KLScheduleConfig.choice)]
    | Annotated[KLTargetConfig, Tag(KLTargetConfig.choice)],
    Discriminator(_kind),
]
