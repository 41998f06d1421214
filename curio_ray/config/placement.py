"""Which nodes the actors of a run take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curio_ray.config.base import Section


class PlacementConfig(Section):
    """Where actors of one kind lie, as Ray's placement groups have it."""

    strategy: Literal["pack", "spread", "strict_pack", "strict_spread"] | None = None
    """pack: on few nodes. spread: over many. strict_pack: all on one node. strict_spread: each on a
    node of its own. By default they are packed together with all others that name no strategy."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that their nodes must have, such as {ray.io/market-type: spot}."""


class LearnerPlacementConfig(PlacementConfig):
    """Where the learner's ranks lie."""

    beside: str | None = None
    """A server whose replica 0 has rank 0 on its node, replica 1 rank 1, and so on in turn; on its
    GPU too, where both ask for parts of one. By default ranks have places of their own."""
